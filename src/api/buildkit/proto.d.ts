/** The text of a description of messages, as part of the program. */
declare module '*.proto' {
  const text: string;
  export default text;
}
