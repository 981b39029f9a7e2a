import { type ReactNode, useState } from 'react'
import { formatInstant } from '../../format/index.ts'
import { Confirm, TextField } from '../../ui/index.ts'
import type { Span } from '../storage/time-axis.ts'
import styles from './aggregates.module.css'

interface RefreshDialogProps {
  readonly name: string
  readonly bucket: string
  /** Where there are rows. */
  readonly span: Span
  onClose(): void
  onConfirm(range: { readonly from: string; readonly to: string }): void
}

/** Buckets of a range are computed anew, whether they are open or not. */
export function RefreshDialog({ name, bucket, span, onClose, onConfirm }: RefreshDialogProps): ReactNode {
  const day = (at: number): string => formatInstant(at, 'UTC', { precision: 'day' })
  const [from, setFrom] = useState(day(span.from))
  const [to, setTo] = useState(day(span.to + 86_400_000))
  const isRange = Date.parse(from) < Date.parse(to)
  return (
    <Confirm
      title={`Compute a range of ${name} anew?`}
      isOpen
      onClose={onClose}
      confirmLabel="Compute it anew"
      onConfirm={() => {
        if (isRange) onConfirm({ from: `${from}T00:00:00Z`, to: `${to}T00:00:00Z` })
      }}
    >
      <div className={styles['range']}>
        <p>
          Every bucket ({bucket}) in the range is computed from rows once more, also those that are right
          already. Answers stay right meanwhile. Buckets whose rows are gone by retention stay as they are.
        </p>
        <div className={styles['fields']}>
          <TextField label="From (UTC)" type="date" value={from} onChange={setFrom} required />
          <TextField
            label="Until (UTC)"
            type="date"
            value={to}
            onChange={setTo}
            required
            error={isRange ? '' : 'has to be after the beginning'}
          />
        </div>
      </div>
    </Confirm>
  )
}
