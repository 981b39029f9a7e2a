import type { StoredDefinition, ViewDefinition } from '../schema/index.ts'

export type DeclaredRelation = StoredDefinition | ViewDefinition

/**
 * `additive` loses nothing and is applied. `conversion` moves the rows of an existing table into a hypertable; it is
 * applied when asked for. `destructive` would lose or rewrite rows: it is shown, never applied.
 */
export type StepClass = 'additive' | 'conversion' | 'destructive'

export type StepKind =
  | 'create-schema'
  | 'create-table'
  | 'create-hypertable'
  | 'alter'
  | 'append-only'
  | 'roles'
  | 'grant'
  | 'tenant'
  | 'change-log'
  | 'create-index'
  | 'catalog'
  | 'convert'
  | 'view'
  | 'aggregate'
  | 'refused'

/** One change as frozen data. */
export interface MigrationStep {
  /** `schema.table` */
  readonly relation: string
  readonly kind: StepKind
  readonly class: StepClass
  /** What happens, for people. */
  readonly sentence: string
  /** The SQL, one statement each; for `destructive` what it would take. */
  readonly statements: readonly string[]
  /** Of `create-index`. */
  readonly index: string | null
}

/** What the database has and no declaration asks for. Never touched. */
export interface Drift {
  readonly relation: string
  readonly sentence: string
}

/** What comparing a relation adds to. */
export interface Findings {
  readonly steps: MigrationStep[]
  readonly drift: Drift[]
}

export interface MigrationPlan {
  /** In the order in which they are applied. */
  readonly steps: readonly MigrationStep[]
  readonly drift: readonly Drift[]
  /** Relations that were declared before and no longer are. They stay as they are. */
  readonly undeclared: readonly string[]
}

export function step(
  relation: string,
  kind: StepKind,
  sentence: string,
  statements: readonly string[],
  index: string | null = null,
): MigrationStep {
  const stepClass = kind === 'convert' ? 'conversion' : kind === 'refused' ? 'destructive' : 'additive'
  return { relation, kind, class: stepClass, sentence, statements, index }
}
