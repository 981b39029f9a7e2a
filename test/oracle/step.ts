import type fc from 'fast-check'
import type { World } from './world.ts'

/**
 * A kind of step. Its arguments are drawn before anything runs, so a sequence of steps is data: it can be cut short and run
 * again, and a step that finds nothing to do (a prepared transaction to commit, a chunk to truncate) says so.
 */
export interface StepKind<Args> {
  readonly name: string
  readonly weight: number
  readonly args: fc.Arbitrary<Args>
  /**
   * Does something to the database and the same to the shadow. Throws when the product did something else than it
   * should; says in a word how it ended, for the counts.
   */
  run(world: World, args: Args): Promise<string>
}

export function defineStep<Args>(kind: StepKind<Args>): StepKind<Args> {
  return kind
}
