import type { ReactNode } from 'react'
import { Gate } from '../operate/index.ts'
import { DeadLetters } from './dead-letters.tsx'

/** Rows that were not taken: why, what is allowed, their correction, and their way back. */
export function Page(): ReactNode {
  return (
    <Gate title="Dead letters" what="Dead letters are">
      <DeadLetters />
    </Gate>
  )
}
