import { createInterface } from 'node:readline/promises'
import { TidemarkError } from '../util/errors.ts'

/**
 * Asks before something that cannot be taken back.
 *
 * @param doing As in "ejecting was cancelled".
 * @throws TidemarkError TM_CONFIG when nobody is there to ask, TM_CANCELLED when the answer is no.
 */
export async function confirm(
  command: string,
  doing: string,
  question: string,
  signal: AbortSignal,
): Promise<void> {
  if (!process.stdin.isTTY) {
    throw new TidemarkError('TM_CONFIG', {
      path: command,
      problem: 'there is no terminal to ask at; --yes says that it is meant',
    })
  }
  const terminal = createInterface({ input: process.stdin, output: process.stderr })
  try {
    const answer = await terminal.question(`${question} Go on? [y/N] `, { signal })
    if (!/^y(es)?$/i.test(answer.trim())) throw new TidemarkError('TM_CANCELLED', { what: doing })
  } finally {
    terminal.close()
  }
}
