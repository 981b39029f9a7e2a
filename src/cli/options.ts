import { type CommanderError, InvalidArgumentError } from 'commander'
import { TidemarkError } from '../util/errors.ts'

/** What the parser of the command line says, as an error of ours. */
export function describeUsageError(error: CommanderError, command: string | undefined): TidemarkError {
  const problem =
    error.code === 'commander.help'
      ? 'which command is missing'
      : error.message
          .replace(/^error: /, '')
          .replace(' is invalid. ', ' is invalid: ')
          .replace(/\s*\n\((.*)\)$/s, '; $1')
  const isKnown =
    command !== undefined && !command.startsWith('-') && error.code !== 'commander.unknownCommand'
  const path = isKnown ? `tidemark ${command}` : 'tidemark'
  return new TidemarkError('TM_CONFIG', {
    path,
    problem: `${problem.replace(/\.$/, '')}; --help shows what is allowed`,
  })
}

export function parsePort(text: string): number {
  const port = Number(text)
  if (!Number.isInteger(port) || port < 0 || port > 65_535)
    throw new InvalidArgumentError('a port is 0 to 65535; 0 picks a free one')
  return port
}

export function parsePositive(text: string): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError('must be a positive whole number')
  return value
}

/** For options that may be given several times, or once with commas. */
export function collect(text: string, before: readonly string[] = []): string[] {
  return [...before, text]
}

export function splitList(text: string, before: readonly string[] = []): string[] {
  return [
    ...before,
    ...text
      .split(',')
      .map((part) => part.trim())
      .filter((part) => part !== ''),
  ]
}
