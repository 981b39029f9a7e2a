/** Which series are drawn: all, only these, or all without these. */
export interface Shown {
  readonly kind: 'all' | 'only' | 'without'
  readonly keys: readonly string[]
}

export function isShown({ kind, keys }: Shown, key: string): boolean {
  return kind === 'all' || (kind === 'only' ? keys.includes(key) : !keys.includes(key))
}

/** A click on a name: that one alone; and all of them again. */
export function isolated(shown: Shown, key: string): Shown {
  return shown.kind === 'only' && shown.keys.length === 1 && shown.keys[0] === key
    ? { kind: 'all', keys: [] }
    : { kind: 'only', keys: [key] }
}

/** A click with shift: that one as well, or not any more. */
export function toggled(shown: Shown, key: string): Shown {
  const has = shown.keys.includes(key)
  const keys = has ? shown.keys.filter((one) => one !== key) : [...shown.keys, key]
  if (keys.length === 0) return { kind: 'all', keys: [] }
  return { kind: shown.kind === 'only' ? 'only' : 'without', keys }
}
