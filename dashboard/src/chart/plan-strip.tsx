import { type ReactNode, useMemo, useRef } from 'react'
import type { AnswerPlan } from 'tidemark/client'
import { formatBytes, formatInstant, formatMs, formatNumber } from '../format/index.ts'
import { insetLeft, insetRight } from './insets.ts'
import { joined, planLanes } from './plan-lanes.ts'
import styles from './plan-strip.module.css'
import { useSize } from './use-size.ts'

export interface PlanStripProps {
  readonly plan: AnswerPlan
  /** The time axis of the chart above it. */
  readonly axis: { readonly from: number; readonly to: number }
  readonly zone: string
}

/** Below a chart, on its time axis: where each stretch of the answer was read. */
export function PlanStrip({ plan, axis, zone }: PlanStripProps): ReactNode {
  const box = useRef<HTMLDivElement>(null)
  const width = useSize(box)
  const view = useMemo(() => planLanes(plan, axis), [plan, axis])
  const long = axis.to - axis.from
  const place = (ms: number): number => ((ms - axis.from) / long) * 100
  return (
    <div className={styles['strip']} ref={box} data-plan-strip>
      {view.lanes.map((lane) => (
        <div key={lane.source} className={styles['lane']} data-tier={lane.tier}>
          <span
            className={styles['title']}
            style={{ width: insetLeft - 8 }}
            title={`${lane.title}: ${lane.about}`}
          >
            {lane.tier === 'aggregate' ? lane.title.slice(lane.title.indexOf('.') + 1) : lane.title}
          </span>
          {view.isHidden ? (
            <span className={styles['hidden']}>
              answered a part of it: {formatNumber(lane.cells)} {lane.cells === 1 ? 'cell' : 'cells'}
            </span>
          ) : (
            <div
              className={styles['track']}
              style={{ marginRight: insetRight }}
              role="img"
              aria-label={`${lane.title}: ${lane.stretches
                .map(({ from, to }) => `${formatInstant(from, zone)} to ${formatInstant(to, zone)}`)
                .slice(0, 5)
                .join(
                  ', ',
                )}${lane.stretches.length > 5 ? ` and ${lane.stretches.length - 5} more stretches` : ''}`}
            >
              {joined(lane.stretches, axis, Math.max(100, width - insetLeft - insetRight)).map(
                ({ part, from, to, parts }) => {
                  const one = plan.parts[part]
                  const says = [
                    `${lane.title}: ${formatInstant(from, zone)} to ${formatInstant(to, zone)}`,
                    parts > 1
                      ? `${parts} parts`
                      : one &&
                        [
                          one.rows === null ? null : `${formatNumber(one.rows)} rows read`,
                          one.bytes === null || one.bytes === 0 ? null : formatBytes(one.bytes),
                          formatMs(one.ms),
                          one.why,
                        ]
                          .filter((text) => text !== null)
                          .join(' · '),
                  ]
                  return (
                    <span
                      key={part}
                      className={styles['part']}
                      data-tier={lane.tier}
                      title={says.join('\n')}
                      style={{
                        left: `${place(from)}%`,
                        width: `max(2px, ${place(to) - place(from)}% - 1px)`,
                      }}
                    />
                  )
                },
              )}
            </div>
          )}
        </div>
      ))}
    </div>
  )
}
