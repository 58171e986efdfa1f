/**
 * The catalogs a node has served, compiled from the texts its store keeps by version, each when first asked for.
 */
import { CatalogIndex } from '../../decision/catalog-index.ts';
import { CatalogError } from '../catalog/catalog-error.ts';
import { compileCatalog } from '../catalog/compile-catalog.ts';
import type { JournalReader } from '../store/journal-reader.ts';

const CATALOG_META = 'catalog:';

export class KeptCatalogs {
  readonly #reader: JournalReader;
  readonly #indices = new Map<number, CatalogIndex | null>();

  constructor(reader: JournalReader) {
    this.#reader = reader;
  }

  /** Null when the text is gone, or was served by an older program and is refused by this one. */
  find(versionHash: number): CatalogIndex | null {
    let index = this.#indices.get(versionHash);
    if (index === undefined) {
      const [name] = this.#reader.metaNames(CATALOG_META + catalogName(versionHash), 1);
      const text = name === undefined ? undefined : this.#reader.getMeta(name);
      index = text === undefined ? null : indexOf(new TextDecoder().decode(text), name ?? '');
      this.#indices.set(versionHash, index);
    }
    return index;
  }

  /** Version of some catalog, where nothing says which. */
  anyHash(): number {
    const [name = ''] = this.#reader.metaNames(CATALOG_META, 1);
    return Number.parseInt(name.slice(CATALOG_META.length, CATALOG_META.length + 8), 16) >>> 0;
  }
}

export function catalogName(versionHash: number): string {
  return versionHash.toString(16).padStart(8, '0');
}

function indexOf(text: string, name: string): CatalogIndex | null {
  try {
    return new CatalogIndex(compileCatalog(text, name));
  } catch (error) {
    if (!(error instanceof CatalogError)) throw error;
    return null;
  }
}
