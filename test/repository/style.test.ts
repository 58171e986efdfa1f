import { describe, expect, it } from 'vitest';
import { readRepositoryFile, repositoryFiles, SOURCE_FOLDERS, sourceTree } from './repository-files.ts';
import { FILE_LINES_MAX, FOLDER_README_LINES_MAX, findStyleBreaches, LONG_FILES } from './style-rules.ts';

const HEADER = '/** What this file is for. */\n';
const breachesOf = (path: string, text: string): readonly string[] => findStyleBreaches(new Map([[path, text]]));

describe('style', () => {
  it('style: no breach in this repository', () => {
    const scripts = repositoryFiles().filter((path) => path.endsWith('.mjs'));
    const tree = new Map([...sourceTree(), ...scripts.map((path) => [path, readRepositoryFile(path)] as const)]);
    tree.delete('vitest.config.ts'); // its content is its purpose
    expect(findStyleBreaches(tree)).toEqual([]);
  });

  it('style: every file that is excused for its length is about as long as that', () => {
    for (const path of Object.keys(LONG_FILES))
      expect(readRepositoryFile(path).split('\n').length, path).toBeGreaterThan(FILE_LINES_MAX - 100);
  });

  it('style: every folder of the design is there and holds sources', () => {
    const paths = repositoryFiles();
    for (const folder of [...SOURCE_FOLDERS, 'docs'])
      expect(
        paths.some((path) => path.startsWith(`${folder}/`)),
        folder,
      ).toBe(true);
  });

  it('style: every folder of sources has a README of at most 40 lines', () => {
    const paths = new Set(repositoryFiles());
    for (const folder of SOURCE_FOLDERS) expect(paths, folder).toContain(`${folder}/README.md`);
    const readmes = [...paths].filter((path) => path.endsWith('/README.md'));
    for (const path of readmes)
      expect(readRepositoryFile(path).trimEnd().split('\n').length, path).toBeLessThanOrEqual(FOLDER_README_LINES_MAX);
  });

  it('style: every source a README or a page of docs/ names exists', () => {
    const paths = repositoryFiles();
    for (const page of paths.filter((path) => /^(?:docs\/\w+|(?:\w+\/)+README)\.md$/.test(path))) {
      for (const [, name = ''] of readRepositoryFile(page).matchAll(/`((?:[\w-]+\/)*[\w.-]+\.(?:ts|mjs))`/g))
        expect(
          paths.some((path) => path === name || path.endsWith(`/${name}`)),
          `${page}: ${name}`,
        ).toBe(true);
    }
  });

  it('style: every file a README or a page of docs/ links to exists', () => {
    const paths = repositoryFiles();
    for (const page of paths.filter((path) => path.endsWith('.md'))) {
      const folder = page.includes('/') ? `${page.slice(0, page.lastIndexOf('/'))}/` : '';
      for (const [, link = ''] of readRepositoryFile(page).matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)[^)]*\)/g)) {
        const target = new URL(link, `file:///${folder}`).pathname.slice(1).replace(/\/$/, '');
        expect(
          paths.some((path) => path === target || path.startsWith(`${target}/`)),
          `${page}: ${link}`,
        ).toBe(true);
      }
    }
  });
});

describe('findStyleBreaches', () => {
  it('findStyleBreaches: none when a file is as it should be', () => {
    expect(breachesOf('actors/mailbox.ts', `${HEADER}export const depth = 1 as const;\n`)).toEqual([]);
    expect(breachesOf('server/cli.ts', `#!/usr/bin/env node\n${HEADER}`)).toEqual([]);
    expect(breachesOf('test/actors/mailbox.test.ts', "import { it } from 'vitest';\n")).toEqual([]);
  });

  it.each([
    ['no header', 'actors/a.ts', 'export const a = 1;\n', 'opens without a comment'],
    ['a header that is no doc comment', 'actors/a.ts', '// A file.\n', 'opens without a comment'],
    ['one line of header over 121 lines', 'actors/a.ts', HEADER + '\n'.repeat(120), 'has 1 lines, not 2'],
    ['an endless header', 'actors/a.ts', `/**\n${' * word\n'.repeat(25)} */\n`, 'has 25 lines'],
    ['an empty header', 'actors/a.ts', '/** */\n', 'has 0 lines'],
    ['capitals in the name', 'actors/Mailbox.ts', HEADER, 'kebab-case'],
    ['an underscore in the name', 'actors/mail_box.ts', HEADER, 'kebab-case'],
    ['a vague name', 'actors/string-utils.ts', HEADER, 'says nothing'],
    ['a vague folder', 'actors/helpers/a.ts', HEADER, 'says nothing'],
    ['a cast to any', 'actors/a.ts', `${HEADER}const a = b as any;\n`, 'any hides'],
    ['a type of any', 'actors/a.ts', `${HEADER}const a: any = b;\n`, 'any hides'],
    ['a list of any', 'actors/a.ts', `${HEADER}const a = new Map<string, any>();\n`, 'any hides'],
    ['an ignored error', 'actors/a.ts', `${HEADER}// @ts-${'ignore'}\n`, 'gives no reason'],
    ['an ignored rule', 'actors/a.ts', `${HEADER}// biome-${'ignore'} lint/a\n`, 'gives no reason'],
    ['unfinished work', 'actors/a.ts', `${HEADER}// ${'TO'}${'DO'} later\n`, 'unfinished'],
    ['a barrel', 'actors/index.ts', HEADER, 'barrel'],
    ['an open door', 'client/index.ts', `${HEADER}export * from './a.ts';\n`, 'one by one'],
    ['a file too long', 'actors/a.ts', `/**\n * One.\n * Two.\n */\n${'\n'.repeat(500)}`, 'split it'],
  ])('findStyleBreaches: one when a file has %s', (_, path, text, words) => {
    expect(breachesOf(path, text)).toEqual([expect.stringContaining(words)]);
  });

  it('findStyleBreaches: none when an exception gives its reason, and only for the next line', () => {
    const excused = `${HEADER}// biome-${'ignore'} lint/a: replies are read field by field\n`;
    expect(breachesOf('test/a.ts', `${excused}type A = Record<string, any>;\n`)).toEqual([]);
    expect(breachesOf('test/a.ts', `${excused}\ntype A = Record<string, any>;\n`)).toHaveLength(1);
  });

  it('findStyleBreaches: none when a text or comment speaks of any', () => {
    expect(breachesOf('actors/a.ts', `${HEADER}// negative: any\nconst a = 'as any';\n`)).toEqual([]);
  });
});
