import { memo, type ReactNode, useCallback, useLayoutEffect, useRef, useState } from 'react'
import type { DatasetInfo, Panel } from 'tidemark/client'
import { useDatasets } from '../../api/index.ts'
import { type Ask, absolute, lengthMs, type PanelAnswer, PanelView } from '../../chart/index.ts'
import { Empty, ErrorBox } from '../../ui/index.ts'
import styles from './board-panel.module.css'
import type { Range, Refresh } from './use-board-url.ts'

export interface BoardPanelProps {
  readonly panel: Panel
  readonly range: Range
  readonly refresh: Refresh
  readonly onZoom: (range: Range) => void
}

const syncKey = 'board'
/** Of a panel; below it the legend is scrolled to. */
const leastChartPx = 72
/** A legend of one line, and what is between it and the chart. */
const legendPx = 38
const mostOfLegend = 0.45

/** The drawing of a panel, as high as its place on the board. Those that stay where they are are not drawn again while one is dragged. */
export const BoardPanel = memo(function BoardPanel(props: BoardPanelProps): ReactNode {
  const datasets = useDatasets()
  const { dataset } = props.panel.query
  const info = datasets.data?.find(({ name }) => name === dataset)
  if (datasets.isError && !datasets.data)
    return <ErrorBox error={datasets.error} retry={() => void datasets.refetch()} />
  if (datasets.data && !info) {
    return (
      <Empty title="Its dataset is not here">
        <p>
          <code>{dataset}</code> is not declared any more, or your key may not read it.
        </p>
      </Empty>
    )
  }
  return <Drawing {...props} info={info} />
})

/** The same with somebody else who answers: of a link. */
export function Drawing({
  panel,
  range,
  refresh,
  onZoom,
  info,
  ask,
}: BoardPanelProps & { readonly info: DatasetInfo | undefined; readonly ask?: Ask }): ReactNode {
  const room = useRef<HTMLDivElement>(null)
  const content = useRef<HTMLDivElement>(null)
  const { height, isCut } = useChartHeight(room, content, hasLegend(panel) ? legendPx : 0)
  const [ended, setEnded] = useState<string | null>(null)
  const everyMs = refresh === 'live' || refresh === 'off' ? null : lengthMs(refresh)
  const told = useCallback(({ live }: PanelAnswer) => {
    setEnded(live?.state === 'ended' ? (live.error?.message ?? 'the server ended it') : null)
  }, [])
  const zoom = useCallback(
    (from: number, to: number) => {
      const chosen = absolute(from, to)
      onZoom({ from: chosen.from as string, to: chosen.to as string })
    },
    [onZoom],
  )
  return (
    <div
      ref={room}
      className={styles['room']}
      // what has to be scrolled to is reached by keyboard
      {...(isCut ? { tabIndex: 0, role: 'group', 'aria-label': panel.title } : {})}
    >
      <div ref={content}>
        {height !== null && (
          <PanelView
            panel={panel}
            range={range}
            info={info}
            height={height}
            isLive={refresh === 'live'}
            syncKey={syncKey}
            onZoom={zoom}
            onResult={told}
            {...(everyMs === null ? {} : { everyMs })}
            {...(ask === undefined ? {} : { ask })}
          />
        )}
        {ended !== null && (
          <p className={styles['ended']} role="status">
            Live updates have ended: {ended}
          </p>
        )}
      </div>
    </div>
  )
}

function hasLegend({ chart, query }: Panel): boolean {
  return (chart === 'line' || chart === 'bar' || chart === 'stacked') && query.bucket != null
}

/** What is left for the chart when its legend has its place (null: not measured yet), and whether there is too little room all the same. */
function useChartHeight(
  room: React.RefObject<HTMLElement | null>,
  content: React.RefObject<HTMLElement | null>,
  /** Its place is kept before it is there, so that the chart does not change its height then. */
  leastBeside: number,
): { readonly height: number | null; readonly isCut: boolean } {
  const [height, setHeight] = useState<number | null>(null)
  const [isCut, setCut] = useState(false)
  const drawn = useRef<number | null>(null)
  const known = useRef(leastBeside)
  useLayoutEffect(() => {
    const [outer, inner] = [room.current, content.current]
    if (outer === null || inner === null) return
    const measure = (): void => {
      setCut(outer.scrollHeight > outer.clientHeight + 1)
      const whole = outer.clientHeight
      const found = drawn.current === null ? 0 : inner.offsetHeight - drawn.current
      // while the next answer is on its way there is no legend, and its place is kept
      const beside = found > 0 ? Math.max(leastBeside, found) : Math.max(leastBeside, known.current)
      known.current = beside
      const next = Math.max(leastChartPx, Math.floor(whole - Math.min(beside, whole * mostOfLegend)))
      if (drawn.current !== null && Math.abs(next - drawn.current) < 2) return
      drawn.current = next
      setHeight(next)
    }
    measure()
    const observer = new ResizeObserver(measure)
    observer.observe(outer)
    observer.observe(inner)
    return () => observer.disconnect()
  }, [room, content, leastBeside])
  return { height, isCut }
}
