/**
 * Certificate, key and authorities for TLS 1.3, read from files of the operator's and read again when they
 * change, so that a certificate is renewed without a restart. They are put to the test before they are used:
 * a certificate without its key, or half a file, leaves the one before in force.
 */
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import type { ConfigValues } from '../config-options.ts';
import { OperatorError } from '../operator-error.ts';
import type { TransportTls } from '../transport.ts';

export type TlsOptions = Pick<ConfigValues, 'tlsCertFile' | 'tlsKeyFile' | 'tlsClientCaFile'>;

/** Null where the options name no certificate. @throws OperatorError TLS_FILES */
export function readTlsFiles(options: TlsOptions): TransportTls | null {
  const { tlsCertFile, tlsKeyFile, tlsClientCaFile } = options;
  if (tlsCertFile === null || tlsKeyFile === null) return null;
  const tls: TransportTls = {
    cert: readPem(tlsCertFile),
    key: readPem(tlsKeyFile),
    ...(tlsClientCaFile === null ? {} : { ca: readPem(tlsClientCaFile) }),
    requestCert: tlsClientCaFile !== null,
    rejectUnauthorized: tlsClientCaFile !== null,
    minVersion: 'TLSv1.3',
  };
  try {
    createSecureContext(tls);
  } catch (cause) {
    throw new OperatorError(
      'TLS_FILES',
      `${tlsCertFile} and ${tlsKeyFile} do not make a certificate and its key: ${reasonOf(cause)}`,
      { advice: 'Give the chain in PEM, the own certificate first, and its unencrypted private key in PEM.', cause },
    );
  }
  return tls;
}

function readPem(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (cause) {
    throw new OperatorError('TLS_FILES', `cannot read ${path}: ${reasonOf(cause)}`, {
      advice: 'Check the path, and that this user may read it.',
      cause,
    });
  }
}

/** OpenSSL's words name no key material. */
function reasonOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause);
}
