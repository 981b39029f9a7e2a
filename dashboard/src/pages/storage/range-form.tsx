import { memo, type ReactNode, useState } from 'react'
import type { StoredDataset } from 'tidemark/client'
import { formatInstant, formatNumber } from '../../format/index.ts'
import { Button, TextField } from '../../ui/index.ts'
import { chunksWithin } from './acts.ts'
import type { Choice } from './chunk-model.ts'
import styles from './storage.module.css'

/** Chooses the chunks that lie wholly between two days. */
export const RangeForm = memo(function RangeForm({
  dataset,
  onChoose,
}: {
  readonly dataset: StoredDataset
  onChoose(choice: Choice): void
}): ReactNode {
  const { chunks } = dataset
  const day = (at: string | undefined): string =>
    at === undefined ? '' : formatInstant(at, 'UTC', { precision: 'day' })
  const [from, setFrom] = useState(() => day(chunks[0]?.from))
  const [to, setTo] = useState(() => day(chunks.at(-1)?.to))
  const found = chunksWithin(chunks, {
    from: Date.parse(`${from}T00:00:00Z`),
    to: Date.parse(`${to}T00:00:00Z`),
  })
  const count = found === null ? 0 : found.last - found.first + 1
  return (
    <form
      className={styles['range']}
      onSubmit={(event) => {
        event.preventDefault()
        if (found !== null) onChoose({ dataset: dataset.name, anchor: found.first, at: found.last })
      }}
    >
      <TextField label="From (UTC)" type="date" value={from} onChange={setFrom} required />
      <TextField label="Until (UTC)" type="date" value={to} onChange={setTo} required />
      <Button type="submit" disabled={count === 0}>
        Choose {formatNumber(count)} {count === 1 ? 'chunk' : 'chunks'}
      </Button>
    </form>
  )
})
