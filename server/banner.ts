/**
 * What `opportune start` prints once it serves: at most twelve lines, each a fact the operator needs or
 * a command to paste. Where data lives, how safe it is, and who may connect are said out loud.
 */
import { isAuthenticated, tenantsOf } from './access/access-options.ts';
import type { ResolvedConfig } from './config.ts';
import { isLoopback } from './config.ts';
import type { NodeAddresses, NodeStatus, TransportNote } from './node-status.ts';

export const BANNER_LINES_MAX = 12;

export interface BannerFacts {
  readonly config: ResolvedConfig;
  readonly addresses: NodeAddresses;
  readonly transport: TransportNote;
  readonly status: NodeStatus;
  readonly isFirstStart: boolean;
  /** From the start of the process until ready. */
  readonly readyAfterMillis: number;
  /** How this shell calls the program: `npx opportune`, `node dist/server/cli.js`. */
  readonly program: string;
}

export function bannerLines(facts: BannerFacts): readonly string[] {
  const { config, addresses, status } = facts;
  const { catalog } = status;
  const seconds = (facts.readyAfterMillis / 1000).toFixed(1);
  const lines = [
    `Opportune ${status.version} is ready after ${seconds} s`,
    fact('decisions', addresses.websocket),
    fact('admin', `${addresses.admin}  (/healthz /readyz /metrics)`),
    fact('workers', `${status.shards.length}${directText(addresses.shards)}`),
    fact('transport', facts.transport.note),
    fact(
      'data',
      `${config.data}${facts.isFirstStart ? ' (new)' : ''}; events are on disk before they are acknowledged, decisions within 10 ms`,
    ),
    fact('access', accessText(config)),
    fact(
      'catalog',
      `${catalog.name} ${catalog.version}: ${count(catalog.actions, 'action')}, ${count(catalog.products, 'product')}, ${count(catalog.slots, 'slot')}; reloaded on change`,
    ),
  ];
  if (catalog.refused !== null) lines.push(fact('refused', `${catalog.path}: ${firstLine(catalog.refused)}`));
  if (config.drills) lines.push(fact('drills', 'on: POST /v1/drill/… breaks workers; never in production'));
  if (config.timeScale !== 1)
    lines.push(fact('clock', `${config.timeScale} times as fast as the true one; never in production`));
  const token = isAuthenticated(config) ? 'OPPORTUNE_TOKEN_FILE=FILE ' : '';
  lines.push(fact('try', `${token}${facts.program} decide c-1042 --slot home --why${portFlag(addresses.websocket)}`));
  return lines;
}

function accessText(config: ResolvedConfig): string {
  const isLocal = isLoopback(config.host);
  if (!isAuthenticated(config)) {
    return isLocal
      ? 'this machine only, no password'
      : `EVERYONE who reaches ${config.host} may read and change all profiles (no password)`;
  }
  const kinds = [
    ...(config.apiKeyFile === null ? [] : ['API keys']),
    ...(config.jwksFile === null && config.jwksUrl === null ? [] : ['JWTs']),
  ];
  const tenants = config.tenants.length === 0 ? '' : `; tenants ${tenantsOf(config).join(', ')}`;
  return `with a token (${kinds.join(', ')})${tenants}; ${wireText(config, isLocal)}`;
}

function wireText(config: ResolvedConfig, isLocal: boolean): string {
  if (config.tlsClientCaFile !== null) return 'TLS 1.3, client certificates needed';
  if (config.tlsCertFile !== null) return 'TLS 1.3';
  return isLocal ? 'no TLS' : 'NO TLS: tokens cross the network readable unless a proxy in front encrypts';
}

/** The workers' own ports, as a range where they are one. */
function directText(urls: readonly string[]): string {
  const ports = urls.map((url) => (URL.canParse(url) ? Number(new URL(url).port) : Number.NaN));
  const [first] = ports;
  const last = ports.at(-1);
  if (first === undefined || last === undefined || ports.some(Number.isNaN)) return '';
  if (ports.length === 1) return `, direct port ${first}`;
  const isRange = ports.every((port, index) => port === first + index);
  return `, direct ports ${isRange ? `${first}-${last}` : ports.join(' ')}`;
}

/** Client commands find port 7400 by themselves. */
function portFlag(websocket: string): string {
  return websocket === 'ws://127.0.0.1:7400/v1/ws' ? '' : ` --url ${websocket}`;
}

function fact(name: string, text: string): string {
  return `  ${name.padEnd(10)}${text}`;
}

function count(number: number, noun: string): string {
  return `${number.toLocaleString('en')} ${noun}${number === 1 ? '' : 's'}`;
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0] ?? '';
}
