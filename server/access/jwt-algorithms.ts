/**
 * The signatures a JWT may have: public-key algorithms only. What a node takes is a choice among these, so
 * neither `none` nor a shared secret can be allowed by a slip of the configuration. Apart from the verifier,
 * because the options name them and must not load the library.
 */
// biome-ignore format: one family a line
export const JWT_ALGORITHMS = [
  'RS256', 'RS384', 'RS512',
  'PS256', 'PS384', 'PS512',
  'ES256', 'ES384', 'ES512',
  'EdDSA', 'Ed25519',
] as const;
