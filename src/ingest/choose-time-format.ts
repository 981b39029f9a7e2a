import type { StoredDefinition } from '../schema/index.ts'
import { TidemarkError } from '../util/errors.ts'
import { defaultNullWords } from './convert.ts'
import { guessTimeFormat } from './guess-time-format.ts'
import type { ResolvedImportOptions } from './options.ts'
import type { ColumnSource } from './plan.ts'
import { sourceText } from './source-text.ts'
import type { Survey } from './survey.ts'
import { probeTime } from './time-format.ts'

export interface TimeChoice {
  readonly format: string
  readonly why: string
  /** All samples are without a zone. */
  readonly isLocal: boolean
  readonly example: string
}

export function chooseTimeFormat(
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
