/** What somebody did to the network of the host, this process or another. */
export type NetworkChange =
  /** A link is gone, down, in another bridge, of another size, or has lost an address. */
  | { readonly kind: 'link'; readonly name: string }
  /** A default route has come or gone. */
  | { readonly kind: 'route' }
  /** Rules or keys of encryption were removed. */
  | { readonly kind: 'encryption' }
  /** Another process has changed packet rules; `table`: the names of the tables. */
  | { readonly kind: 'rules'; readonly tables: readonly string[] };

export interface NetworkWatch {
  /** Of the encryption of packets between hosts, which few networks have. None of this process's own are left out. */
  watchEncryption(changed: (change: NetworkChange) => void): Disposable;
  /** Calls with every change until disposed. A change of this process's own may be among them, except of packet rules. */
  watch(changed: (change: NetworkChange) => void): Disposable;
}
