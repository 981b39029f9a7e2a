import type { Me } from 'tidemark/client'

/** Of a key or subject, for whoever reads it. */
export function whoText(by: string, me: Me): string {
  return by === me.id ? 'you' : by
}
