/** The package has no types of its own. */
declare module 'unicode-property-value-aliases-ecmascript' {
  /** Names of the values of each Unicode property: canonical names by their aliases. */
  const aliases: ReadonlyMap<string, ReadonlyMap<string, string>>;
  export default aliases;
}
