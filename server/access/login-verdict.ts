/**
 * What comes of a login, and the one sentence its caller is told when nothing does. Apart from the
 * authenticator, because the doors know these words and load it only where tokens are asked for.
 */
import type { Login } from './principal.ts';

/** Why a token was refused: for counters. `unavailable`: it could not be checked. */
export type LoginRefusal = 'missing' | 'invalid' | 'expired' | 'forbidden' | 'unavailable';
export type LoginVerdict = { readonly login: Login } | { readonly refusal: LoginRefusal };

/** What the caller of a refused login is told, whatever the reason. */
export const LOGIN_REFUSED = 'a valid token is needed, as Authorization: Bearer TOKEN';
