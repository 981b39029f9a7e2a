import type { ReactNode } from 'react'
import type { Operation, StoredChunk, StoredDataset } from 'tidemark/client'
import { formatBytes, formatInstant, formatNumber } from '../../format/index.ts'
import { Button, Card, CopyButton } from '../../ui/index.ts'
import { countOf } from './act-dialog.tsx'
import { type Act, actKeys, actNames, acts, planAct, totalsOf } from './acts.ts'
import styles from './chosen-card.module.css'
import { StateTag } from './state-tag.tsx'
import { type ChunkWord, chunkMeanings, chunkWord, inZone, nextWords, sentence, spanText } from './words.ts'

interface ChosenCardProps {
  readonly dataset: StoredDataset | null
  readonly chunks: readonly StoredChunk[]
  readonly operations: readonly Operation[]
  readonly zone: string
  readonly now: number
  onAct(act: Act): void
}

/** What is chosen, what happens to it by itself, and what can be done with it. */
export function ChosenCard({ dataset, chunks, operations, zone, now, onAct }: ChosenCardProps): ReactNode {
  const first = chunks[0]
  if (dataset === null || first === undefined)
    return (
      <Card title="Chosen chunks">
        <p className={styles['quiet']}>
          Choose a chunk above or in the table: click it, drag over several, or walk with the arrow keys
          (Shift chooses more). Then freeze, thaw, compact or verify it here.
        </p>
      </Card>
    )
  const last = chunks[chunks.length - 1]!
  const one = chunks.length === 1 ? first : null
  return (
    <Card title={one ? 'Chosen chunk' : `${countOf(chunks.length)} chosen`}>
      <div className={styles['card']}>
        <p>
          <strong className={styles['span']}>{spanText(first.from, last.to, zone)}</strong>
          <span className={styles['quiet']}> {dataset.name}</span>
        </p>
        {one ? <OneChunk chunk={one} zone={zone} now={now} /> : <Several chunks={chunks} />}
        <Actions dataset={dataset} chunks={chunks} operations={operations} now={now} onAct={onAct} />
      </div>
    </Card>
  )
}

function OneChunk(props: {
  readonly chunk: StoredChunk
  readonly zone: string
  readonly now: number
}): ReactNode {
  const { chunk, zone, now } = props
  const word = chunkWord(chunk)
  const next = nextWords(chunk, now, zone)
  const { bytes, coldBytes, bytesBefore, rows, hotRows, files, deletedRows } = chunk
  return (
    <>
      <p>
        <StateTag word={word} /> <span className={styles['quiet']}>{chunkMeanings[word]}</span>
      </p>
      <dl className={styles['facts']}>
        <Fact name="Rows" value={formatNumber(rows)} note={lateNote(chunk.state, hotRows)} />
        <Fact name="In PostgreSQL" value={formatBytes(bytes)} note={bytes > 0 ? 'with indexes' : ''} />
        <Fact
          name="In the lake"
          value={formatBytes(coldBytes)}
          note={files === 0 ? '' : `${formatNumber(files)} ${files === 1 ? 'file' : 'files'}`}
        />
        {bytesBefore !== null && (
          <Fact
            name="Before it was frozen"
            value={formatBytes(bytesBefore)}
            note={coldBytes > 0 ? `${formatNumber(bytesBefore / coldBytes, { digits: 3 })} × as much` : ''}
          />
        )}
        {deletedRows > 0 && (
          <Fact name="Deleted in its files" value={formatNumber(deletedRows)} note="rows" />
        )}
        {chunk.frozenAt && <Fact name="Frozen" value={formatInstant(chunk.frozenAt, zone)} note="" />}
        <Fact
          name="Next"
          value={next.text}
          note={chunk.next === null ? '' : `due ${formatInstant(chunk.next.at, zone)}`}
        />
        <div className={styles['id']}>
          <dt>Chunk</dt>
          <dd>
            {chunk.id} <CopyButton text={chunk.id} label="Copy id" />
          </dd>
        </div>
      </dl>
      {next.waitsFor && (
        <p className={styles['waits']}>
          <strong>Waits:</strong> {next.waitsFor}
        </p>
      )}
      {chunk.error && (
        <div className={styles['error']}>
          <strong>
            The last try to move it failed{chunk.failures > 1 ? ` (${chunk.failures} times in a row)` : ''}.
          </strong>{' '}
          {sentence(inZone(chunk.error, zone))} Its rows are where they were, and answers are right. Do what
          the message says, then try again here; the worker does so by itself, too.
        </div>
      )}
    </>
  )
}

function lateNote(state: StoredChunk['state'], hotRows: number): string {
  if (state === 'delta') return `${formatNumber(hotRows)} of them late`
  return hotRows > 0 ? "PostgreSQL's estimate" : ''
}

function Several({ chunks }: { readonly chunks: readonly StoredChunk[] }): ReactNode {
  const { rows, bytes, coldBytes, files, ratio } = totalsOf(chunks)
  const states = new Map<ChunkWord, number>()
  for (const chunk of chunks) states.set(chunkWord(chunk), (states.get(chunkWord(chunk)) ?? 0) + 1)
  return (
    <>
      <p className={styles['states']}>
        {[...states].map(([word, count]) => (
          <StateTag key={word} word={word} count={formatNumber(count)} />
        ))}
      </p>
      <dl className={styles['facts']}>
        <Fact name="Rows" value={formatNumber(rows)} note="" />
        <Fact name="In PostgreSQL" value={formatBytes(bytes)} note={bytes > 0 ? 'with indexes' : ''} />
        <Fact
          name="In the lake"
          value={formatBytes(coldBytes)}
          note={files === 0 ? '' : `${formatNumber(files)} files`}
        />
        {ratio !== null && (
          <Fact name="Smaller by" value={`${formatNumber(ratio, { digits: 3 })} ×`} note="" />
        )}
      </dl>
    </>
  )
}

function Fact({
  name,
  value,
  note,
}: {
  readonly name: string
  readonly value: string
  readonly note: string
}): ReactNode {
  return (
    <div>
      <dt>{name}</dt>
      <dd>
        {value} {note !== '' && <span className={styles['quiet']}>{note}</span>}
      </dd>
    </div>
  )
}

function Actions(
  props: Omit<ChosenCardProps, 'dataset' | 'zone'> & { readonly dataset: StoredDataset },
): ReactNode {
  const { dataset, chunks, operations, now, onAct } = props
  return (
    <fieldset className={styles['acts']} aria-label="What to do with them">
      {acts.map((act) => {
        const { chunks: able, leftOut } = planAct(act, chunks, dataset.ratio, now)
        const isBusy = operations.some(
          ({ kind, dataset: of, state }) => kind === act && of === dataset.name && state === 'running',
        )
        const why = isBusy
          ? 'this runs already'
          : able.length === 0
            ? leftOut.map(({ reason }) => reason).join(', ')
            : ''
        return (
          <Button
            key={act}
            kind={act === 'freeze' && able.length > 0 ? 'primary' : 'plain'}
            disabled={why !== ''}
            title={why === '' ? `${actNames[act]} (${actKeys[act]})` : `${actNames[act]}: ${why}`}
            onClick={() => onAct(act)}
          >
            {actNames[act]}
          </Button>
        )
      })}
    </fieldset>
  )
}
