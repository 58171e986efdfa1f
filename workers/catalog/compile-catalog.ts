/** From a catalog's text to the catalog the decision functions see, in one thread and one call. */
import type { Catalog } from '../../decision/catalog.ts';
import { loadCatalogText } from './catalog-file.ts';
import { compileCatalogSource } from './catalog-source.ts';

/**
 * Checks and compiles a catalog's text.
 * @param fileName for messages only.
 * @throws CatalogError (`CATALOG_INVALID`).
 */
export function compileCatalog(text: string, fileName: string): Catalog {
  return compileCatalogSource(loadCatalogText(text, fileName));
}
