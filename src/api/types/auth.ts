/** The body of POST /auth and, as base64url JSON, the X-Registry-Auth header. */
export interface AuthConfig {
  username?: string | undefined;
  password?: string | undefined;
  /** base64 of `username:password`. */
  auth?: string | undefined;
  email?: string | undefined;
  serveraddress?: string | undefined;
  identitytoken?: string | undefined;
  registrytoken?: string | undefined;
}

export interface AuthResponse {
  Status: string;
  IdentityToken?: string | undefined;
}
