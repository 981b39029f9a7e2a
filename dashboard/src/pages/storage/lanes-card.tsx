import { memo, type ReactNode, useId, useMemo } from 'react'
import { formatBytes, formatNumber } from '../../format/index.ts'
import { useCommands } from '../../shell/index.ts'
import { Button, Card, Select } from '../../ui/index.ts'
import { AxisRow } from './axis-row.tsx'
import type { Choice, Lane } from './chunk-model.ts'
import { LaneView } from './lane-view.tsx'
import styles from './lanes.module.css'
import { outlookOf } from './outlook.ts'
import { createAxis, type Span, showing, zoomed } from './time-axis.ts'
import { useWidth } from './use-width.ts'
import { chosen } from './walk.ts'

interface LanesCardProps {
  readonly lanes: readonly Lane[]
  readonly whole: Span
  readonly view: Span
  readonly choice: Choice | null
  readonly zone: string
  readonly now: number
  onChoose(choice: Choice): void
  onView(view: Span): void
}

/** All tables over one axis of time. */
export function LanesCard(props: LanesCardProps): ReactNode {
  const { lanes, whole, view, choice, zone, now, onChoose, onView } = props
  const [element, width] = useWidth<HTMLDivElement>()
  const hintId = useId()
  const axis = useMemo(() => createAxis(view, width), [view, width])
  const span = choiceSpan(lanes, choice)
  const middle = span ? (span.from + span.to) / 2 : (view.from + view.to) / 2
  const zoom = (factor: number): void => {
    const next = zoomed(view, whole, factor, Math.min(view.to, Math.max(view.from, middle)))
    onView(next)
  }
  const fit = (): void => {
    if (span === null) return
    const room = Math.max((span.to - span.from) * 0.1, 60_000)
    onView({ from: Math.max(whole.from, span.from - room), to: Math.min(whole.to, span.to + room) })
  }
  useCommands([
    { id: 'storage.in', title: 'Zoom in', keys: '+', run: () => zoom(0.5) },
    { id: 'storage.out', title: 'Zoom out', keys: '-', run: () => zoom(2) },
    { id: 'storage.all', title: 'Show all of the time', keys: '0', run: () => onView(whole) },
    { id: 'storage.fit', title: 'Zoom to the chosen chunks', keys: 'z', run: fit },
  ])
  const choose = (next: Choice): void => {
    onChoose(next)
    const at = lanes.find(({ dataset }) => dataset.name === next.dataset)?.drawn[next.at]
    const shown = at ? showing(view, whole, at) : view
    if (shown !== view) onView(shown)
  }
  const isWhole = view.from === whole.from && view.to === whole.to
  const table = choice?.dataset ?? ''
  return (
    <Card
      title="Chunks"
      actions={
        <div className={styles['zoom']}>
          <Button small onClick={() => zoom(2)} disabled={isWhole} aria-label="Zoom out" title="Zoom out (-)">
            −
          </Button>
          <Button small onClick={() => zoom(0.5)} aria-label="Zoom in" title="Zoom in (+)">
            +
          </Button>
          <Button small onClick={fit} disabled={span === null} title="Zoom to the chosen chunks (z)">
            Fit choice
          </Button>
          <Button small onClick={() => onView(whole)} disabled={isWhole} title="All of the time (0)">
            All
          </Button>
        </div>
      }
    >
      <Legend />
      <p id={hintId} className="visually-hidden">
        Left and right walk from chunk to chunk, with Shift they choose several; Page Up and Page Down walk
        ten, Home and End go to the ends, Control A chooses all. Plus and minus zoom.
      </p>
      <div ref={element}>
        {width > 0 && (
          <>
            <AxisRow axis={axis} zone={zone} now={now} />
            <ul className={styles['lanes']} aria-label="Tables">
              {lanes.map((lane) => (
                <li key={lane.dataset.name}>
                  <LaneHead lane={lane} zone={zone} now={now} />
                  <LaneView
                    lane={lane}
                    axis={axis}
                    zone={zone}
                    now={now}
                    choice={choice?.dataset === lane.dataset.name ? choice : null}
                    hintId={hintId}
                    onChoose={choose}
                  />
                </li>
              ))}
            </ul>
          </>
        )}
      </div>
      {lanes.length > 3 && (
        <Select
          label="Go to a table"
          value={table}
          options={[
            ...(table === '' ? [{ value: '', label: 'none chosen' }] : []),
            ...lanes.map(({ dataset: { name } }) => ({ value: name, label: name })),
          ]}
          onChange={(name) => {
            const count = lanes.find(({ dataset }) => dataset.name === name)?.drawn.length ?? 0
            if (count > 0) choose({ dataset: name, anchor: count - 1, at: count - 1 })
            document.querySelector<HTMLElement>(`[data-dataset="${CSS.escape(name)}"]`)?.focus()
          }}
        />
      )}
    </Card>
  )
}

/** Not drawn anew while somebody walks: it looks at every chunk. */
const LaneHead = memo(function LaneHead(props: {
  readonly lane: Lane
  readonly zone: string
  readonly now: number
}): ReactNode {
  const { dataset } = props.lane
  const outlook = outlookOf(dataset.chunks, props.now, props.zone)
  const { name, chunks, bytes, ratio, freezeAfter, retain, rows } = dataset
  const facts = [
    `${formatNumber(chunks.length)} ${chunks.length === 1 ? 'chunk' : 'chunks'}`,
    `${formatNumber(rows, { compact: true })} rows`,
    `${formatBytes(bytes.rows + bytes.indexes)} in PostgreSQL`,
    `${formatBytes(bytes.lake)} in the lake${ratio === null ? '' : `, ${formatNumber(ratio, { digits: 3 })} × smaller`}`,
    freezeAfter === null ? 'never frozen by itself' : `frozen after ${freezeAfter}`,
    retain === null ? 'kept for good' : `kept ${retain}`,
  ]
  return (
    <div className={styles['head']}>
      <h3 className={styles['name']}>{name}</h3>
      <span className={styles['facts']}>{facts.join(' · ')}</span>
      {outlook.length > 0 && <span className={styles['outlook']}>{outlook.join(' · ')}</span>}
    </div>
  )
})

const legend: readonly (readonly [look: string, word: string, meaning: string])[] = [
  ['hot', 'hot', 'rows in PostgreSQL'],
  ['cold', 'cold', 'files in the lake'],
  ['delta', 'delta', 'late rows in PostgreSQL, beside files in the lake'],
  ['moving', 'moving', 'is frozen, thawed or compacted at this moment'],
  ['failed', 'failed', 'the last try to move it failed'],
  ['before', 'size before', 'what it took in PostgreSQL before it was frozen'],
  ['empty', 'empty pages', 'its rows have gone to the lake; the space is given back later'],
  ['freeze', 'freeze line', 'what lies wholly before is frozen'],
  ['retain', 'retention line', 'what lies wholly before is dropped'],
  ['now', 'now', 'the present'],
]

function Legend(): ReactNode {
  return (
    <ul className={styles['legend']} aria-label="What the colours mean">
      {legend.map(([look, word, meaning]) => (
        <li key={look} title={meaning}>
          <span className={styles['swatch']} data-look={look} aria-hidden="true" />
          {word}
          <span className="visually-hidden">: {meaning}</span>
        </li>
      ))}
    </ul>
  )
}

function choiceSpan(lanes: readonly Lane[], choice: Choice | null): Span | null {
  const drawn = lanes.find(({ dataset }) => dataset.name === choice?.dataset)?.drawn
  if (!choice || !drawn) return null
  const { first, last } = chosen(choice)
  const from = drawn[first]
  const to = drawn[last]
  return from && to ? { from: from.from, to: to.to } : null
}
