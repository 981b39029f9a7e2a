import type { StoredDefinition } from '../schema/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { accessLogAliases, accessLogFields } from './access-log-reader.ts'
import { splitPath } from './json-paths.ts'
import type { ResolvedImportOptions } from './options.ts'
import type { ColumnSource } from './plan.ts'
import type { Survey } from './survey.ts'

export interface Mapping {
  readonly columns: ReadonlyMap<string, { readonly source: ColumnSource; readonly why: string }>
  readonly remarks: readonly string[]
}

/** Names that differ only in case, spaces, underscores and other marks are the same name. */
export function normalize(name: string): string {
  return name.toLowerCase().replace(/[^\p{L}\p{N}]/gu, '')
}

export function mapColumns(
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
