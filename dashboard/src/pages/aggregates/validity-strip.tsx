import { type ReactNode, useId, useMemo } from 'react'
import type { AggregateHealth } from 'tidemark/client'
import { formatInstant, formatNumber } from '../../format/index.ts'
import { AxisRow } from '../storage/axis-row.tsx'
import { createAxis, type Span } from '../storage/time-axis.ts'
import { useWidth } from '../storage/use-width.ts'
import styles from './aggregates.module.css'
import { type ValidityKind, validityParts } from './validity.ts'

const height = 26

interface ValidityStripProps {
  readonly aggregate: AggregateHealth
  readonly span: Span
  readonly zone: string
}

/** Where over time its cells answer, where they are open, and where rows answer in their place. */
export function ValidityStrip({ aggregate, span, zone }: ValidityStripProps): ReactNode {
  const [element, width] = useWidth<HTMLDivElement>()
  const hatch = useId()
  const axis = useMemo(() => createAxis(span, width), [span, width])
  const parts = useMemo(() => validityParts(aggregate, span), [aggregate, span])
  const mark =
    aggregate.watermark === null ? null : Math.min(width - 1, axis.x(Date.parse(aggregate.watermark)))
  const { count } = aggregate.open
  const label =
    aggregate.watermark === null
      ? 'Nothing is materialized yet: rows answer'
      : `Materialized until ${formatInstant(aggregate.watermark, zone)}, ${
          count === 0
            ? 'with nothing open before'
            : `but for ${formatNumber(count)} open ${count === 1 ? 'range' : 'ranges'}`
        }; rows answer the rest`
  return (
    <div ref={element} className={styles['strip']}>
      {width > 0 && (
        <>
          <AxisRow axis={axis} zone={zone} now={span.to} />
          <svg width={width} height={height} role="img" aria-label={label}>
            <defs>
              <pattern
                id={hatch}
                width={6}
                height={6}
                patternUnits="userSpaceOnUse"
                patternTransform="rotate(45)"
              >
                <rect width={6} height={6} className={styles['hatchGround']} />
                <rect width={3} height={6} className={styles['hatch']} />
              </pattern>
            </defs>
            {drawOrder.flatMap((kind) =>
              parts
                .filter((part) => part.kind === kind)
                .map((part) => (
                  <rect
                    key={`${kind} ${part.from}`}
                    className={styles['part']}
                    data-kind={kind}
                    fill={kind === 'open' ? `url(#${hatch})` : undefined}
                    x={axis.x(part.from)}
                    y={0}
                    // what is narrower than a pixel is there all the same
                    width={Math.max(kind === 'open' ? 3 : 1, axis.x(part.to) - axis.x(part.from))}
                    height={height}
                  >
                    <title>
                      {`${says[kind]}: ${formatInstant(part.from, zone)} – ${formatInstant(part.to, zone)}`}
                    </title>
                  </rect>
                )),
            )}
            {mark !== null && mark >= 0 && (
              <line className={styles['watermark']} x1={mark} x2={mark} y1={0} y2={height} />
            )}
          </svg>
        </>
      )}
    </div>
  )
}

/** Open ranges are over the others, as they may be narrower than they are drawn. */
const drawOrder: readonly ValidityKind[] = ['valid', 'rows', 'open']

export const says: Readonly<Record<ValidityKind, string>> = {
  valid: 'materialized: cells answer',
  open: 'open: changed since, rows answer until it is refreshed',
  rows: 'not materialized yet: rows answer',
}
