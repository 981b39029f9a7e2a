import { type KeyboardEvent, memo, type PointerEvent, type ReactNode, useMemo, useRef, useState } from 'react'
import { formatBytes, formatNumber } from '../../format/index.ts'
import { type ChunkColumn, chunkColumns, chunkNear, lanePaths } from './chunk-columns.ts'
import { type Choice, type Lane, policyMarks } from './chunk-model.ts'
import styles from './lanes.module.css'
import type { TimeAxis } from './time-axis.ts'
import { chosen, walk } from './walk.ts'
import { chunkWord, nextWords, spanText } from './words.ts'

const shape = { height: 44, band: 8, gap: 3 }
const height = shape.height + shape.band + shape.gap

export interface LaneViewProps {
  readonly lane: Lane
  readonly axis: TimeAxis
  readonly zone: string
  readonly now: number
  /** Of this table; null: nothing of it is chosen. */
  readonly choice: Choice | null
  readonly hintId: string
  onChoose(choice: Choice): void
}

/** Chunks of one table: bars of their bytes over a band of their states. One stop of the keyboard; arrows walk. */
export const LaneView = memo(function LaneView(props: LaneViewProps): ReactNode {
  const { lane, axis, zone, now, choice, hintId, onChoose } = props
  const { dataset, drawn } = lane
  const columns = useMemo(() => chunkColumns(drawn, axis), [drawn, axis])
  const paths = useMemo(() => lanePaths(columns, shape), [columns])
  const [hovered, setHovered] = useState<number | null>(null)
  const dragFrom = useRef<number | null>(null)
  const marks = useMemo(() => policyMarks(dataset, now), [dataset, now])
  const count = drawn.length
  const at = Math.min(choice?.at ?? count - 1, count - 1)

  const placeOf = (event: PointerEvent<HTMLElement>): number =>
    chunkNear(drawn, axis.at(event.clientX - event.currentTarget.getBoundingClientRect().left))
  const press = (event: PointerEvent<HTMLElement>): void => {
    if (event.button !== 0) return
    const place = placeOf(event)
    const anchor = event.shiftKey && choice ? choice.anchor : place
    dragFrom.current = anchor
    event.currentTarget.setPointerCapture(event.pointerId)
    onChoose({ dataset: dataset.name, anchor, at: place })
  }
  const move = (event: PointerEvent<HTMLElement>): void => {
    const place = placeOf(event)
    if (place !== hovered) setHovered(place)
    if (dragFrom.current === null || place === choice?.at) return
    onChoose({ dataset: dataset.name, anchor: dragFrom.current, at: place })
  }
  const release = (): void => {
    dragFrom.current = null
  }
  const key = (event: KeyboardEvent): void => {
    const next = walk({ anchor: choice?.anchor ?? at, at }, count, event)
    if (next === null) return
    event.preventDefault()
    onChoose({ dataset: dataset.name, ...next })
  }

  if (count === 0)
    return <p className={styles['none']}>No chunk yet: the first row that is written makes one.</p>
  return (
    <div
      className={styles['lane']}
      role="slider"
      tabIndex={0}
      aria-label={`Chunks of ${dataset.name}`}
      aria-describedby={hintId}
      aria-orientation="horizontal"
      aria-valuemin={1}
      aria-valuemax={count}
      aria-valuenow={at + 1}
      aria-valuetext={describeChoice(lane, choice, at, zone, now)}
      data-dataset={dataset.name}
      onKeyDown={key}
      onPointerDown={press}
      onPointerMove={move}
      onPointerUp={release}
      onPointerCancel={release}
      onPointerLeave={() => setHovered(null)}
      onFocus={() => {
        if (choice === null) onChoose({ dataset: dataset.name, anchor: at, at })
      }}
    >
      <svg width={axis.width} height={height} aria-hidden="true">
        <line className={styles['ground']} x2={axis.width} y1={shape.height + 0.5} y2={shape.height + 0.5} />
        <path className={styles['before']} d={paths.before} />
        <path className={styles['coldBytes']} d={paths.coldBytes} />
        <path className={styles['hotBytes']} d={paths.hotBytes} />
        <path className={styles['lateBytes']} d={paths.lateBytes} />
        <path className={styles['emptyBytes']} d={paths.emptyBytes} />
        {Object.entries(paths.looks).map(([look, d]) => (
          <path key={look} className={styles['state']} data-look={look} d={d} />
        ))}
        <Mark axis={axis} at={now} kind="now" />
        {marks.map(({ kind, at: border }) => (
          <Mark key={kind} axis={axis} at={border} kind={kind} />
        ))}
        {hovered !== null && (
          <Outline lane={lane} axis={axis} first={hovered} last={hovered} kind="hovered" />
        )}
        {choice && <Outline lane={lane} axis={axis} {...chosen(choice)} kind="chosen" />}
      </svg>
      {hovered !== null && (
        <Tip lane={lane} axis={axis} columns={columns} place={hovered} zone={zone} now={now} />
      )}
    </div>
  )
})

function Mark(props: { readonly axis: TimeAxis; readonly at: number; readonly kind: string }): ReactNode {
  const x = props.axis.x(props.at)
  if (x < 0 || x > props.axis.width) return null
  return (
    <>
      <line className={styles['halo']} x1={x} x2={x} y1={0} y2={height} />
      <line className={styles['mark']} data-kind={props.kind} x1={x} x2={x} y1={0} y2={height} />
    </>
  )
}

function Outline(props: {
  readonly lane: Lane
  readonly axis: TimeAxis
  readonly first: number
  readonly last: number
  readonly kind: 'hovered' | 'chosen'
}): ReactNode {
  const { lane, axis, first, last, kind } = props
  const from = lane.drawn[first]
  const to = lane.drawn[last]
  if (!from || !to) return null
  const left = Math.max(0, axis.x(from.from))
  const right = Math.min(axis.width, axis.x(to.to))
  if (right < 0 || left > axis.width) return null
  return (
    <rect
      className={styles[kind]}
      x={Math.min(left, axis.width - 4) + 0.5}
      y={0.5}
      width={Math.max(3, right - left - 1)}
      height={height - 1}
    />
  )
}

/** What is under the pointer. The same is in the value of the slider, for those who do not point. */
function Tip(props: {
  readonly lane: Lane
  readonly axis: TimeAxis
  readonly columns: readonly ChunkColumn[]
  readonly place: number
  readonly zone: string
  readonly now: number
}): ReactNode {
  const { lane, axis, columns, place, zone, now } = props
  const chunk = lane.dataset.chunks[place]
  if (chunk === undefined) return null
  const column = columns.find(({ first, last }) => place >= first && place <= last)
  const together = column ? column.last - column.first : 0
  const x = Math.max(0, Math.min(axis.width, axis.x((Date.parse(chunk.from) + Date.parse(chunk.to)) / 2)))
  const next = nextWords(chunk, now, zone)
  return (
    <div
      className={styles['tip']}
      // as far to its left as it is along the axis: it never leaves the lane
      style={{ left: `${x}px`, transform: `translateX(${(-100 * x) / axis.width}%)` }}
      aria-hidden="true"
    >
      <strong>{spanText(chunk.from, chunk.to, zone)}</strong>
      <span>
        {chunkWord(chunk)} · {formatNumber(chunk.rows)} rows
      </span>
      <span>
        {chunk.bytes > 0 && `${formatBytes(chunk.bytes)} in PostgreSQL`}
        {chunk.bytes > 0 && chunk.coldBytes > 0 && ' · '}
        {chunk.coldBytes > 0 && `${formatBytes(chunk.coldBytes)} in the lake`}
        {chunk.bytesBefore !== null && `, was ${formatBytes(chunk.bytesBefore)}`}
      </span>
      <span>{next.text}</span>
      {together > 0 && <span className={styles['quiet']}>{together} more at this pixel: zoom in (+)</span>}
    </div>
  )
}

function describeChoice(lane: Lane, choice: Choice | null, at: number, zone: string, now: number): string {
  const { chunks } = lane.dataset
  const chunk = chunks[at]!
  const one = `${spanText(chunk.from, chunk.to, zone)}, ${chunkWord(chunk)}, ${formatNumber(chunk.rows)} rows, ${formatBytes(
    chunk.bytes + chunk.coldBytes,
  )}, ${nextWords(chunk, now, zone).text}`
  if (choice === null || choice.anchor === choice.at) return one
  const { first, last } = chosen(choice)
  return `${last - first + 1} chunks chosen, ${spanText(chunks[first]!.from, chunks[last]!.to, zone)}; at ${one}`
}
