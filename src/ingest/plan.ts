import { createHash } from 'node:crypto'
import { openParquet, type ParquetColumn } from '../lake/index.ts'
import type { StoredDefinition } from '../schema/index.ts'
import { resolveZone, TimeProblem } from '../time/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { AccessLogReader, accessLogAliases, accessLogFields } from './access-log-reader.ts'
import { defaultNullWords } from './convert.ts'
import { atPath, ExactNumber, type JsonField, NdjsonReader } from './ndjson-reader.ts'
import type { ImportFormat, ResolvedImportOptions } from './options.ts'
import { guessFormat, guessSeparator, type Head, sampleRows } from './sniff.ts'
import { type Compression, readSource, type SourceFile } from './source.ts'
import { toTextBlocks } from './text-blocks.ts'
import { guessTimeFormat, probeTime } from './time-format.ts'

/** Where the values of a column come from. `index` is the position in what the reader gives. */
export type ColumnSource =
  | { readonly kind: 'field'; readonly name: string; readonly index: number }
  | { readonly kind: 'assembled'; readonly parts: readonly (number | string)[]; readonly text: string }
  | { readonly kind: 'constant'; readonly value: string }
  | { readonly kind: 'line' }
  | { readonly kind: 'file' }
  /** Nothing in the file: the column's default, or null. */
  | { readonly kind: 'none'; readonly gives: 'default' | 'null' }

export interface ColumnPlan {
  readonly column: string
  readonly type: string
  readonly source: ColumnSource
  /** For timestamptz and date from text. */
  readonly timeFormat: string | null
  /** For a person: why this source and this format. */
  readonly why: string
}

/** What was guessed and asked for: everything that decides how a file's bytes become rows. Plain JSON. */
export interface ImportPlan {
  readonly format: ImportFormat
  readonly compression: Compression
  readonly separator: string | null
  readonly header: boolean | null
  readonly hasPrefix: boolean
  /** Fields that the reader gives, in order. */
  readonly fields: readonly string[]
  /** Parquet: what the values of the fields are. */
  readonly parquet: readonly ParquetColumn[] | null
  /** Every declared column, in declared order. */
  readonly columns: readonly ColumnPlan[]
  /** Fields of the file that go nowhere. */
  readonly unused: readonly string[]
  readonly timeZone: string | null
  readonly nullWords: readonly string[] | null
  readonly ragged: 'refuse' | 'fill'
  readonly keepBlankLines: boolean
  readonly maxRecordBytes: number
  readonly limit: number | null
  /** For a person: what was seen and decided. */
  readonly remarks: readonly string[]
}

/** Equal for plans that make the same rows of the same file. */
export function hashPlan(plan: ImportPlan): string {
  const { remarks: _, columns, ...rest } = plan
  const essence = { ...rest, columns: columns.map(({ why: _why, ...column }) => column) }
  return createHash('sha256').update(JSON.stringify(essence)).digest('hex')
}

const sampleRecords = 1000
const headBytes = 1 << 20

/** What a file's beginning shows: the fields it has, and the first records. */
interface Survey {
  readonly format: ImportFormat
  readonly separator: string | null
  readonly header: boolean | null
  readonly hasPrefix: boolean
  readonly fields: readonly FieldSeen[]
  readonly records: readonly (readonly unknown[])[]
  readonly parquet: readonly ParquetColumn[] | null
  readonly remarks: readonly string[]
}

interface FieldSeen {
  readonly name: string
  /** Holds objects: only for jsonb columns. */
  readonly isObject: boolean
}

/**
 * Looks at the beginning of a file and decides how it is read.
 * @throws TidemarkError TM_IMPORT when that is not clear, with the option that makes it clear.
 */
export async function planImport(
  source: SourceFile,
  definition: StoredDefinition,
  options: ResolvedImportOptions,
): Promise<ImportPlan> {
  checkColumns(source.path, definition, options)
  const zone = checkZone(options.timeZone)
  const survey = await surveyFile(source, definition, options)
  const mapping = mapColumns(source.path, definition, options, survey)
  const remarks = [...survey.remarks, ...mapping.remarks]
  const columns = Object.entries(definition.columns).map(([name, column]): ColumnPlan => {
    const { source: from, why } = mapping.columns.get(name)!
    const plain = { column: name, type: column.type, source: from, timeFormat: null, why }
    const isTime = column.type === 'timestamptz' || column.type === 'date'
    if (!isTime || from.kind === 'none' || from.kind === 'line' || from.kind === 'file') return plain
    const parquetKind = from.kind === 'field' ? survey.parquet?.[from.index]?.kind : undefined
    if (parquetKind === 'local' || parquetKind === 'local-ns') {
      if (column.type === 'timestamptz' && zone === null)
        throw noZone(
          source.path,
          name,
          `column "${survey.fields[(from as { index: number }).index]!.name}" has times without a zone`,
        )
      return plain
    }
    if (parquetKind === 'instant' || parquetKind === 'instant-ns') return plain
    const time = chooseTimeFormat(source.path, definition, name, options, survey, from)
    if (time.isLocal && column.type === 'timestamptz' && zone === null)
      throw noZone(
        source.path,
        name,
        `the times of column "${name}" have no zone (such as ${JSON.stringify(time.example)})`,
      )
    return { ...plain, timeFormat: time.format, why: `${why}; ${time.format}: ${time.why}` }
  })
  const usedIndexes = new Set(
    columns.flatMap(({ source: from }) =>
      from.kind === 'field'
        ? [from.index]
        : from.kind === 'assembled'
          ? from.parts.filter((part) => typeof part === 'number')
          : [],
    ),
  )
  const usedNames = [...usedIndexes].map((index) => survey.fields[index]!.name)
  // a member of an object that is stored whole is used; an object is as good as its members
  const unused = survey.fields
    .filter((field, i) => !usedIndexes.has(i) && !field.isObject)
    .map((field) => field.name)
    .filter((name) => !usedNames.some((used) => used === '@document' || name.startsWith(`${used}.`)))
  return {
    format: survey.format,
    compression: source.compression,
    separator: survey.separator,
    header: survey.header,
    hasPrefix: survey.hasPrefix,
    fields: survey.fields.map((field) => field.name),
    parquet: survey.parquet,
    columns,
    unused,
    timeZone: options.timeZone ?? null,
    nullWords: options.nullWords ?? null,
    ragged: options.ragged,
    keepBlankLines: options.keepBlankLines,
    maxRecordBytes: options.maxRecordBytes,
    limit: options.limit ?? null,
    remarks,
  }
}

function checkColumns(file: string, definition: StoredDefinition, options: ResolvedImportOptions): void {
  const named = [
    ...Object.keys(options.map ?? {}),
    ...Object.keys(options.set ?? {}),
    ...(typeof options.timeFormat === 'object' ? Object.keys(options.timeFormat) : []),
  ]
  for (const name of named) {
    if (!Object.hasOwn(definition.columns, name))
      throw new TidemarkError('TM_IMPORT', {
        file,
        problem: `"${name}" is no column of ${definition.name}`,
        todo: `its columns are ${Object.keys(definition.columns).join(', ')}`,
      })
  }
}

function checkZone(name: string | undefined): ReturnType<typeof resolveZone> | null {
  if (name === undefined) return null
  try {
    return resolveZone(name)
  } catch (cause) {
    if (!(cause instanceof TimeProblem)) throw cause
    throw new TidemarkError('TM_CONFIG', { path: 'import.timeZone', problem: cause.problem }, { cause })
  }
}

function noZone(file: string, column: string, problem: string): TidemarkError {
  return new TidemarkError('TM_IMPORT', {
    file,
    problem: `${problem}, and "${column}" is a moment in time`,
    todo: 'say which zone they are in: timeZone (--time-zone UTC)',
  })
}

// --- the file ---

async function surveyFile(
  source: SourceFile,
  definition: StoredDefinition,
  options: ResolvedImportOptions,
): Promise<Survey> {
  if (options.format === 'parquet' || (options.format === undefined && source.isParquet))
    return surveyParquet(source)
  const head = await readHead(source)
  const guess = guessFormat(source.path, head)
  const format = (options.format as Exclude<ImportFormat, 'parquet'> | undefined) ?? guess.format
  const remarks = [
    `format ${format}: ${options.format === undefined ? guess.why : 'as asked'}`,
    ...(source.compression === 'none' ? [] : [`packed with ${source.compression}`]),
  ]
  if (format === 'csv') return surveyCsv(source, definition, options, head, remarks)
  if (format === 'access-log') {
    const records: (readonly unknown[])[] = []
    const sink = { record: (fields: readonly unknown[]) => void records.push(fields), bad: () => {} }
    const reader = new AccessLogReader(headBytes * 2, sink)
    reader.push({ text: head.text, form: 'text' })
    return {
      format,
      separator: null,
      header: null,
      hasPrefix: false,
      fields: accessLogFields.map((name) => ({ name, isObject: false })),
      records: records.slice(0, sampleRecords),
      parquet: null,
      remarks,
    }
  }
  return surveyNdjson(head, options, guess.hasPrefix || usesPrefix(options), remarks)
}

function usesPrefix(options: ResolvedImportOptions): boolean {
  return Object.values(options.map ?? {}).includes('@prefix')
}

async function readHead(source: SourceFile): Promise<Head> {
  let text = ''
  const blocks = toTextBlocks(readSource(source, { bytes: 0 }), source.path, headBytes)
  let isWhole = true
  for await (const block of blocks) {
    text += block.text
    if (text.length >= headBytes) {
      isWhole = false
      break
    }
  }
  return { text, isWhole }
}

function surveyCsv(
  source: SourceFile,
  definition: StoredDefinition,
  options: ResolvedImportOptions,
  head: Head,
  remarks: readonly string[],
): Survey {
  const guessed = options.separator === undefined ? guessSeparator(head) : null
  const separator = options.separator ?? guessed!.separator
  const rows = sampleRows(head, separator, sampleRecords + 1)
  const first = rows[0]
  if (first === undefined)
    throw new TidemarkError('TM_IMPORT', {
      file: source.path,
      problem: 'no row could be read from its beginning',
      todo: 'check separator and quotes',
    })
  const names = first.map((name) => name.trim())
  const header = options.header ?? looksLikeHeader(names, rows[1], definition, options)
  const fields = header ? names : names.map((_, i) => `@${i + 1}`)
  return {
    format: 'csv',
    separator,
    header,
    hasPrefix: false,
    fields: fields.map((name) => ({ name, isObject: false })),
    records: header ? rows.slice(1) : rows.slice(0, sampleRecords),
    parquet: null,
    remarks: [
      ...remarks,
      `separator ${JSON.stringify(separator)}: ${guessed?.why ?? 'as asked'}`,
      `the first row ${header ? 'holds the names' : 'is data'}: ${
        options.header !== undefined
          ? 'as asked'
          : header
            ? 'it reads like names'
            : 'none of its fields is the name of a column'
      }`,
    ],
  }
}

function looksLikeHeader(
  names: readonly string[],
  second: readonly string[] | undefined,
  definition: StoredDefinition,
  options: ResolvedImportOptions,
): boolean {
  const wanted = new Set([
    ...Object.keys(definition.columns).map(normalize),
    ...Object.values(options.map ?? {}).map(normalize),
  ])
  if (names.some((name) => name !== '' && wanted.has(normalize(name)))) return true
  const isNumber = (text: string): boolean => /^[+-]?[\d.]+(?:[eE][+-]?\d+)?$/.test(text.trim())
  if (names.some((name) => isNumber(name) || /^\d{4}-\d\d-\d\d/.test(name))) return false
  return second?.some(isNumber) ?? false
}

function surveyNdjson(
  head: Head,
  options: ResolvedImportOptions,
  hasPrefix: boolean,
  remarks: readonly string[],
): Survey {
  const documents: unknown[] = []
  const prefixes: unknown[] = []
  const reader = new NdjsonReader(
    { fields: [{ kind: 'document' }, { kind: 'prefix' }], hasPrefix, maxRecordBytes: headBytes * 2 },
    {
      record(fields) {
        if (documents.length >= sampleRecords) return
        documents.push(fields[0])
        prefixes.push(fields[1])
      },
      bad() {},
    },
  )
  reader.push({ text: head.text, form: 'text' })
  if (head.isWhole) reader.end()
  const seen = new Map<string, { path: readonly string[]; isObject: boolean }>()
  for (const document of documents) collectPaths(document, [], seen)
  for (const path of Object.values(options.map ?? {})) {
    // a path that the first lines do not have may come later
    if (!path.startsWith('@') && !seen.has(path)) seen.set(path, { path: path.split('.'), isObject: false })
  }
  const paths = [...seen]
  const fields = paths.map(([name, { isObject }]) => ({ name, isObject }))
  const special = [
    { name: '@document', isObject: true },
    ...(hasPrefix ? [{ name: '@prefix', isObject: false }] : []),
  ]
  return {
    format: 'ndjson',
    separator: null,
    header: null,
    hasPrefix,
    fields: [...fields, ...special],
    records: documents.map((document, i) => [
      ...paths.map(([, { path }]) => atPath(document, path)),
      document,
      ...(hasPrefix ? [prefixes[i]] : []),
    ]),
    parquet: null,
    remarks,
  }
}

/** What the reader takes out of each line for a plan: nothing for fields that go nowhere. */
export function toJsonFields(plan: ImportPlan): JsonField[] {
  const unused = new Set(plan.unused)
  const used = new Set(
    plan.columns.flatMap(({ source }) =>
      source.kind === 'field' ? [source.index] : source.kind === 'assembled' ? source.parts : [],
    ),
  )
  return plan.fields.map(
    (name, i): JsonField =>
      unused.has(name) || !used.has(i)
        ? { kind: 'unused' }
        : name === '@document'
          ? { kind: 'document' }
          : name === '@prefix'
            ? { kind: 'prefix' }
            : { kind: 'path', path: splitPath(name) },
  )
}

const maxPathDepth = 3
const maxPaths = 500

function collectPaths(
  value: unknown,
  path: readonly string[],
  seen: Map<string, { path: readonly string[]; isObject: boolean }>,
): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value) || value instanceof ExactNumber)
    return
  for (const [key, child] of Object.entries(value)) {
    const childPath = [...path, key]
    const name = joinPath(childPath)
    const isObject =
      typeof child === 'object' && child !== null && !Array.isArray(child) && !(child instanceof ExactNumber)
    const known = seen.get(name)
    if (known) known.isObject &&= isObject
    else if (seen.size < maxPaths) seen.set(name, { path: childPath, isObject })
    if (isObject && childPath.length < maxPathDepth) collectPaths(child, childPath, seen)
  }
}

/** `a.b`; a key that holds a point is written with it doubled. */
function joinPath(path: readonly string[]): string {
  return path.map((key) => key.replaceAll('.', '..')).join('.')
}

function splitPath(name: string): string[] {
  return name
    .replaceAll('..', '\u0000')
    .split('.')
    .map((key) => key.replaceAll('\u0000', '.'))
}

async function surveyParquet(source: SourceFile): Promise<Survey> {
  if (!source.isParquet)
    throw new TidemarkError('TM_IMPORT', {
      file: source.path,
      problem: source.compression === 'none' ? 'it is no Parquet file' : 'a packed Parquet file is not read',
      todo:
        source.compression === 'none'
          ? 'leave the format out, or name the right one'
          : 'unpack it first; Parquet packs its columns itself',
    })
  const file = await openParquet(source.path)
  try {
    const readable = file.columns.filter((column) => column.kind !== 'bytes')
    const records: unknown[][] = []
    for await (const batch of file.read(readable.map((column) => column.name))) {
      for (let i = 0; i < batch.rowCount && records.length < sampleRecords; i++)
        records.push(batch.columns.map((values) => values[i]))
      break
    }
    return {
      format: 'parquet',
      separator: null,
      header: null,
      hasPrefix: false,
      fields: readable.map(({ name }) => ({ name, isObject: false })),
      records,
      parquet: readable,
      remarks: [
        `format parquet: the file begins with its mark`,
        `${file.rowCount} rows`,
        ...file.columns
          .filter((c) => c.kind === 'bytes')
          .map((c) => `column "${c.name}" holds bytes, which are not read`),
      ],
    }
  } finally {
    file.close()
  }
}

// --- columns ---

interface Mapping {
  readonly columns: ReadonlyMap<string, { readonly source: ColumnSource; readonly why: string }>
  readonly remarks: readonly string[]
}

/** Names that differ only in case, spaces, underscores and other marks are the same name. */
export function normalize(name: string): string {
  return name.toLowerCase().replace(/[^\p{L}\p{N}]/gu, '')
}

function mapColumns(
  file: string,
  definition: StoredDefinition,
  options: ResolvedImportOptions,
  survey: Survey,
): Mapping {
  const columns = new Map<string, { source: ColumnSource; why: string }>()
  const remarks: string[] = []
  const { fields } = survey
  const timeColumn = definition.kind === 'hypertable' ? definition.time : null
  for (const [column, value] of Object.entries(options.set ?? {}))
    columns.set(column, { source: { kind: 'constant', value }, why: `the constant ${JSON.stringify(value)}` })
  for (const [column, name] of Object.entries(options.map ?? {}))
    columns.set(column, { source: findSource(file, name, survey), why: 'as asked' })
  if (options.time !== undefined) {
    if (timeColumn === null)
      throw new TidemarkError('TM_IMPORT', {
        file,
        problem: `${definition.name} is no hypertable, so it has no time column`,
        todo: 'leave "time" out',
      })
    columns.set(timeColumn, {
      source: assemble(file, options.time, survey),
      why: `put together from ${options.time}`,
    })
  }
  const byPosition =
    survey.header === false && fields.length === Object.keys(definition.columns).length && columns.size === 0
  const missing: string[] = []
  Object.entries(definition.columns).forEach(([column, declared], position) => {
    if (columns.has(column)) return
    if (byPosition) {
      const field = fields[position]!
      columns.set(column, {
        source: { kind: 'field', name: field.name, index: position },
        why: 'same position',
      })
      return
    }
    const found = findByName(column, declared.type === 'jsonb', survey)
    if (found.length === 1) {
      const { index, why } = found[0]!
      columns.set(column, { source: { kind: 'field', name: fields[index]!.name, index }, why })
      return
    }
    if (found.length > 1)
      throw new TidemarkError('TM_IMPORT', {
        file,
        problem: `fields ${found.map((one) => `"${fields[one.index]!.name}" (@${one.index + 1})`).join(' and ')} could both be column "${column}"`,
        todo:
          survey.format === 'csv' || survey.format === 'parquet'
            ? `say which, for instance map: { ${column}: '@${found[0]!.index + 1}' } (--map @${found[0]!.index + 1}=${column})`
            : `say which with map (--map ${fields[found[0]!.index]!.name}=${column})`,
      })
    if (declared.default !== null) columns.set(column, none('default'))
    else if (declared.nullable) columns.set(column, none('null'))
    else missing.push(column)
  })
  if (missing.length > 0) {
    const shown = fields
      .filter((field) => !field.name.startsWith('@') || survey.header === false)
      .map((field) => field.name)
    const isAnyFound = [...columns.values()].some((one) => one.source.kind === 'field')
    throw new TidemarkError('TM_IMPORT', {
      file,
      problem:
        `nothing in the file is called ${missing.map((name) => `"${name}"`).join(', ')}, which ` +
        `${missing.length === 1 ? 'is' : 'are'} NOT NULL without a default in ${definition.name}; ` +
        `the file has ${shown.length > 0 ? shown.slice(0, 40).join(', ') : 'no fields'}`,
      todo:
        `name the field with map (--map FIELD=${missing[0]}) or give a constant with set (--set ${missing[0]}=…)` +
        (survey.format === 'csv' && !isAnyFound ? '; or is the separator another one (--separator)?' : ''),
    })
  }
  const filled = [...columns.values()].some(
    (one) => one.source.kind !== 'none' && one.source.kind !== 'constant',
  )
  if (!filled)
    throw new TidemarkError('TM_IMPORT', {
      file,
      problem: `none of its fields (${fields
        .map((field) => field.name)
        .slice(0, 40)
        .join(', ')}) is a column of ${definition.name}`,
      todo: 'name them with map (--map FIELD=column), or say which separator it has (--separator)',
    })
  return { columns, remarks }
}

function none(gives: 'default' | 'null'): { source: ColumnSource; why: string } {
  return { source: { kind: 'none', gives }, why: `nothing in the file has this name: ${gives}` }
}

function findByName(column: string, isJson: boolean, survey: Survey): { index: number; why: string }[] {
  const { fields } = survey
  const wanted = normalize(column)
  const usable = fields
    .map((field, index) => ({ index, name: field.name, isObject: field.isObject }))
    .filter((field) => !field.name.startsWith('@') && (isJson || !field.isObject))
  const exact = usable.filter((field) => field.name === column)
  if (exact.length > 0) return exact.map(({ index }) => ({ index, why: 'same name' }))
  const alike = usable.filter((field) => normalize(field.name) === wanted)
  if (alike.length > 0)
    return alike.map(({ index, name }) => ({
      index,
      why: `"${name}" is the same name but for case and marks`,
    }))
  if (survey.format === 'access-log') {
    const alias =
      accessLogAliases[column.toLowerCase()] ??
      accessLogAliases[column.replace(/[A-Z]/g, (c) => `_${c.toLowerCase()}`)]
    const index = alias === undefined ? -1 : accessLogFields.indexOf(alias)
    return index === -1 ? [] : [{ index, why: `another name of "${alias}"` }]
  }
  if (survey.format === 'ndjson') {
    const leaves = usable.filter((field) => normalize(splitPath(field.name).at(-1)!) === wanted)
    // the shallowest one, if it is the only one there
    const depth = Math.min(...leaves.map((leaf) => splitPath(leaf.name).length))
    return leaves
      .filter((leaf) => splitPath(leaf.name).length === depth)
      .map(({ index, name }) => ({ index, why: `the last part of "${name}"` }))
  }
  return []
}

function findSource(file: string, name: string, survey: Survey): ColumnSource {
  if (name === '@line') return { kind: 'line' }
  if (name === '@file') return { kind: 'file' }
  const { fields } = survey
  const position = /^@(\d+)$/.exec(name)
  if (position && (survey.format === 'csv' || survey.format === 'parquet')) {
    const index = Number(position[1]) - 1
    const field = fields[index]
    if (field) return { kind: 'field', name: field.name, index }
  }
  const exact = fields.flatMap((field, index) => (field.name === name ? [index] : []))
  const alike =
    exact.length > 0
      ? exact
      : fields.flatMap((field, index) =>
          normalize(field.name) === normalize(name) && !name.startsWith('@') ? [index] : [],
        )
  if (alike.length === 1) return { kind: 'field', name: fields[alike[0]!]!.name, index: alike[0]! }
  throw new TidemarkError('TM_IMPORT', {
    file,
    problem:
      alike.length > 1
        ? `several fields are called "${name}": ${alike.map((i) => `@${i + 1}`).join(', ')}`
        : `it has no field "${name}"`,
    todo:
      alike.length > 1
        ? `name it by its position: ${alike.map((i) => `@${i + 1}`).join(' or ')}`
        : `its fields are ${fields
            .map((field) => field.name)
            .slice(0, 60)
            .join(', ')}`,
  })
}

/** `year-month-day`: names of fields, longest first, and what stands between them as it is. */
function assemble(file: string, template: string, survey: Survey): ColumnSource {
  const names = survey.fields
    .map((field, index) => ({ name: field.name, index }))
    .filter((field) => field.name !== '')
    .sort((a, b) => b.name.length - a.name.length)
  const parts: (number | string)[] = []
  let at = 0
  while (at < template.length) {
    const found = names.find(
      ({ name }) => template.slice(at, at + name.length).toLowerCase() === name.toLowerCase(),
    )
    if (found) {
      parts.push(found.index)
      at += found.name.length
    } else {
      const last = parts.at(-1)
      if (typeof last === 'string') parts[parts.length - 1] = last + template[at]
      else parts.push(template[at]!)
      at++
    }
  }
  if (
    parts.some((part) => typeof part === 'string' && /[\p{L}]/u.test(part) && !/^\s*[TZ]\s*$/.test(part)) ||
    !parts.some((part) => typeof part === 'number')
  )
    throw new TidemarkError('TM_IMPORT', {
      file,
      problem: `time ${JSON.stringify(template)} does not consist of names of its fields`,
      todo: `its fields are ${survey.fields
        .map((field) => field.name)
        .slice(0, 60)
        .join(', ')}`,
    })
  return { kind: 'assembled', parts, text: template }
}

// --- times ---

interface TimeChoice {
  readonly format: string
  readonly why: string
  /** All samples are without a zone. */
  readonly isLocal: boolean
  readonly example: string
}

function chooseTimeFormat(
  file: string,
  definition: StoredDefinition,
  column: string,
  options: ResolvedImportOptions,
  survey: Survey,
  source: ColumnSource,
): TimeChoice {
  const nullWords = new Set(options.nullWords ?? defaultNullWords)
  const samples: string[] = []
  if (source.kind === 'constant') samples.push(source.value)
  else
    for (const record of survey.records) {
      const text = sourceText(source, record)
      if (text !== null && text !== '' && !nullWords.has(text)) samples.push(text)
    }
  const { timeFormat } = options
  const asked =
    typeof timeFormat === 'object'
      ? timeFormat[column]
      : definition.kind === 'table' || definition.time === column
        ? timeFormat
        : undefined
  if (asked !== undefined) {
    const probe = probeTime(asked)
    const answers = samples.map(probe)
    if (samples.length > 0 && answers.every((answer) => answer === 'no'))
      throw new TidemarkError('TM_IMPORT', {
        file,
        problem: `none of the first ${samples.length} values of column "${column}" (such as ${JSON.stringify(samples[0]!.slice(0, 60))}) has the format ${asked}`,
        todo: 'correct timeFormat (--time-format), or leave it out to have it guessed',
      })
    const isLocal = answers.includes('local') && !answers.includes('zone')
    return { format: asked, why: 'as asked', isLocal, example: samples[answers.indexOf('local')] ?? '' }
  }
  if (samples.length === 0) return { format: 'iso', why: 'no value was seen', isLocal: false, example: '' }
  const guess = guessTimeFormat(samples)
  if (guess.kind === 'found')
    return { format: guess.format, why: guess.reason, isLocal: guess.isLocal === 'all', example: samples[0]! }
  const shown = JSON.stringify(guess.example.slice(0, 60))
  throw new TidemarkError('TM_IMPORT', {
    file,
    problem:
      guess.kind === 'ambiguous'
        ? `the values of column "${column}" (such as ${shown}) could be ${guess.formats.join(' or ')}, and none of the first ${samples.length} decides it`
        : `the values of column "${column}" (such as ${shown}) have no time format that is guessed`,
    todo: `say which with timeFormat (--time-format ${guess.kind === 'ambiguous' ? JSON.stringify(guess.formats[0]) : '"DD/MM/YYYY HH:mm"'})`,
  })
}

/** The text of a source in a record, for sampling and for times put together. */
export function sourceText(source: ColumnSource, record: readonly unknown[]): string | null {
  if (source.kind === 'assembled') {
    let text = ''
    for (const part of source.parts) {
      const piece = typeof part === 'number' ? plainText(record[part]) : part
      // a time with a piece missing is no time
      if (piece === null || piece === '') return null
      text += piece
    }
    return text
  }
  return source.kind === 'field' ? plainText(record[source.index]) : null
}

function plainText(value: unknown): string | null {
  if (value === null || value === undefined) return null
  if (typeof value === 'string') return value.trim()
  if (value instanceof ExactNumber) return value.text
  return typeof value === 'object' ? null : String(value)
}
