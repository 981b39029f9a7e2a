import { type ReactNode, useMemo } from 'react'
import type { StoredChunk, StoredDataset } from 'tidemark/client'
import { formatNumber } from '../../format/index.ts'
import { type Column, Quantity, Table } from '../../ui/index.ts'
import { StateTag } from './state-tag.tsx'
import styles from './storage.module.css'
import { chunkWord, nextWords, spanText } from './words.ts'

interface ChunkTableProps {
  readonly dataset: StoredDataset
  readonly zone: string
  readonly now: number
  isChosen(chunk: StoredChunk): boolean
  onChoose(chunk: StoredChunk): void
}

/** What the axis draws, in words and numbers. The newest first. */
export function ChunkTable({ dataset, zone, now, isChosen, onChoose }: ChunkTableProps): ReactNode {
  const columns = useMemo(() => columnsOf(zone, now), [zone, now])
  const rows = useMemo(() => dataset.chunks.toReversed(), [dataset.chunks])
  return (
    <Table
      caption={`Chunks of ${dataset.name}`}
      columns={columns}
      rows={rows}
      keyOf={(chunk) => chunk.id}
      empty="No chunk yet: the first row that is written makes one."
      maxHeight="420px"
      onRow={onChoose}
      isSelected={isChosen}
    />
  )
}

function columnsOf(zone: string, now: number): readonly Column<StoredChunk>[] {
  const ratioOf = ({ bytesBefore, coldBytes }: StoredChunk): number | null =>
    bytesBefore === null || coldBytes === 0 ? null : bytesBefore / coldBytes
  return [
    {
      id: 'time',
      title: 'Time',
      cell: ({ from, to }) => {
        const [begin, end] = spanText(from, to, zone).split(' – ')
        return (
          <span className={styles['time']}>
            {begin}
            {end !== undefined && <span className={styles['end']}> – {end}</span>}
          </span>
        )
      },
      sortBy: ({ from }) => Date.parse(from),
    },
    {
      id: 'state',
      title: 'State',
      cell: (chunk) => <StateTag word={chunkWord(chunk)} />,
      sortBy: chunkWord,
    },
    {
      id: 'rows',
      title: 'Rows',
      align: 'right',
      cell: ({ rows }) => <Quantity value={rows} unit="rows" />,
      sortBy: ({ rows }) => rows,
    },
    {
      id: 'bytes',
      title: 'PostgreSQL',
      align: 'right',
      cell: ({ bytes }) => <Quantity value={bytes} unit="bytes" />,
      sortBy: ({ bytes }) => bytes,
    },
    {
      id: 'coldBytes',
      title: 'Lake',
      align: 'right',
      cell: ({ coldBytes }) => <Quantity value={coldBytes} unit="bytes" />,
      sortBy: ({ coldBytes }) => coldBytes,
    },
    {
      id: 'ratio',
      title: 'Smaller by',
      align: 'right',
      cell: (chunk) => {
        const ratio = ratioOf(chunk)
        return ratio === null ? '—' : `${formatNumber(ratio, { digits: 3 })}\u00a0×`
      },
      sortBy: ratioOf,
    },
    {
      id: 'next',
      title: 'Next',
      cell: (chunk) => {
        const { text, waitsFor } = nextWords(chunk, now, zone)
        return (
          <div className={styles['next']} title={text}>
            {text}
            {waitsFor !== null && <small title={waitsFor}>{waitsFor}</small>}
          </div>
        )
      },
      sortBy: ({ next }) => (next === null ? null : Date.parse(next.at)),
    },
  ]
}
