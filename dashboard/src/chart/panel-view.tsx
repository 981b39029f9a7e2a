import { type ReactNode, useEffect, useRef, useState } from 'react'
import type { DatasetInfo } from 'tidemark/client'
import { useZone } from '../shell/index.ts'
import type { PanelContent } from './panel.ts'
import { PanelBody } from './panel-body.tsx'
import { PlanStrip } from './plan-strip.tsx'
import type { Shown } from './shown.ts'
import type { RangeText } from './times.ts'
import { type Ask, type PanelAnswer, usePanelAnswer } from './use-panel-answer.ts'
import { useSize } from './use-size.ts'

export interface PanelViewProps {
  readonly panel: PanelContent
  /** `to` of null or absent: up to now. */
  readonly range: { readonly from: string; readonly to?: string | null | undefined }
  /** Of the panel's dataset, from `useDatasets()`; undefined while it is loading: a skeleton. Of a shared board: see `sharedInfo`. */
  readonly info: DatasetInfo | undefined
  /** Kept up to date by a subscription. */
  readonly isLive?: boolean
  /** Asked again so often; for boards that refresh every so often. */
  readonly everyMs?: number
  /** Of the chart in pixels; the legend comes below. Default 260. */
  readonly height?: number
  /** Who answers in place of the client: of a shared board. */
  readonly ask?: Ask
  /** Charts of one key move their cursors together. */
  readonly syncKey?: string
  /** Whether the plan is drawn below. Default false. */
  readonly hasPlan?: boolean
  /** A stretch was chosen, in ms. Without it nothing can be zoomed into. */
  onZoom?(from: number, to: number): void
  /** After each answer: for what stands beside it. */
  onResult?(result: PanelAnswer): void
}

const all: Shown = { kind: 'all', keys: [] }

/**
 * A panel, asked and drawn: the same in Explore and on boards.
 *
 * @example <PanelView panel={panel} range={board.document.range} info={info} isLive onZoom={zoom} height={220} />
 */
export function PanelView(props: PanelViewProps): ReactNode {
  const {
    panel,
    info,
    isLive = false,
    everyMs,
    height = 260,
    ask,
    syncKey,
    hasPlan = false,
    onZoom,
    onResult,
  } = props
  const { zone } = useZone()
  const box = useRef<HTMLDivElement>(null)
  const width = useSize(box)
  const [shown, setShown] = useState(all)
  const range: RangeText = { from: props.range.from, to: props.range.to ?? null }
  const result = usePanelAnswer({
    panel,
    range,
    info: width === 0 ? undefined : info,
    width,
    zone,
    isLive,
    ...(everyMs === undefined ? {} : { everyMs }),
    ...(ask === undefined ? {} : { ask }),
  })
  const { answer, table, before, error, isAsking, live } = result
  // biome-ignore lint/correctness/useExhaustiveDependencies: told when something of it has changed
  useEffect(() => onResult?.(result), [answer, table, before, error, isAsking, live?.state])
  return (
    <div ref={box}>
      <PanelBody
        panel={panel}
        result={result}
        zone={zone}
        height={height}
        shown={shown}
        onShown={setShown}
        onZoom={onZoom}
        syncKey={syncKey}
      />
      {hasPlan && answer && result.axis && <PlanStrip plan={answer.plan} axis={result.axis} zone={zone} />}
    </div>
  )
}

/** What is known of a dataset through a link to a board: that its panels have a time, and no more. */
export function sharedInfo(panel: PanelContent): DatasetInfo {
  return {
    name: panel.query.dataset,
    kind: 'hypertable',
    time: 'time',
    primaryKey: null,
    comment: null,
    columns: [],
    aggregate: null,
  }
}
