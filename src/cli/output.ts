import { randomUUID } from 'node:crypto'
import { inspect } from 'node:util'
import pc from 'picocolors'
import { isTidemarkError, TidemarkError } from '../util/errors.ts'
import { toJsonText } from '../util/json.ts'

/** Where a command writes: answers on stdout, everything else on stderr, so that pipes get the answer alone. */
export interface Output {
  readonly isJson: boolean
  /** The answer: one JSON document with --json, else the lines. */
  answer(data: unknown, lines: () => readonly string[]): void
  note(text: string): void
  /** What must not be overlooked: on stderr, also with --json. */
  warn(text: string): void
}

/**
 * `tidemark … | head` closes the pipe when it has seen enough. What is still written goes nowhere, and the command does its work
 * to the end: an import is not stopped halfway because nobody reads what it tells.
 */
export function outliveClosedPipes(): void {
  for (const stream of [process.stdout, process.stderr])
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error
    })
}

export function createOutput(isJson: boolean): Output {
  return {
    isJson,
    answer(data, lines) {
      process.stdout.write(isJson ? `${toJsonText(data)}\n` : `${lines().join('\n')}\n`)
    },
    note(text) {
      if (!isJson) process.stderr.write(`${pc.dim(text)}\n`)
    },
    warn(text) {
      process.stderr.write(`${pc.yellow(`! ${text}`)}\n`)
    },
  }
}

/** A command that a signal has stopped; `cause` is what it ended with. */
export class Interrupted extends Error {
  /** As shells count it: 128 and the number of the signal. */
  readonly exitCode: number

  constructor(signal: StopSignal, cause: unknown) {
    super(`stopped by ${signal}`, { cause })
    this.exitCode = exitCodes[signal]
  }
}

export type StopSignal = 'SIGINT' | 'SIGTERM'

export const exitCodes: Readonly<Record<StopSignal, number>> = { SIGINT: 130, SIGTERM: 143 }

/**
 * Prints an error as people or programs need it and returns the exit code: that of the signal which stopped the
 * command, 2 for the caller's mistakes, else 1.
 */
export function reportError(error: unknown, isJson: boolean): number {
  if (error instanceof Interrupted) {
    reportError(error.cause, isJson)
    return error.exitCode
  }
  const known = isTidemarkError(error)
    ? error
    : new TidemarkError('TM_INTERNAL', { id: randomUUID() }, { cause: error })
  if (isJson) {
    process.stdout.write(
      `${toJsonText({
        error: { code: known.code, message: known.message, retryable: known.retryable, params: known.params },
      })}\n`,
    )
  } else {
    process.stderr.write(`${pc.red(known.code)} ${known.message}\n`)
  }
  // with its cause: nobody else will see it
  if (known.code === 'TM_INTERNAL') process.stderr.write(`${inspect(error)}\n`)
  return known.status >= 400 && known.status < 500 ? 2 : 1
}
