/** What a micro benchmark is: a name, one operation, and what it needs made beforehand. */
export interface MicroCase {
  /** `area: what one operation is`, unique. */
  readonly name: string;
  /**
   * Makes inputs and returns the operation. Its number goes into a checksum, so that no engine may drop
   * the work; it should depend on the result. Not measured.
   */
  prepare(): () => number;
}
