import type { ReactNode } from 'react'
import styles from './lanes.module.css'
import { axisTicks, type TimeAxis } from './time-axis.ts'

/** Times over all lanes. What they say is also in the table and in what each chunk is called. */
export function AxisRow({
  axis,
  zone,
  now,
}: {
  readonly axis: TimeAxis
  readonly zone: string
  readonly now: number
}): ReactNode {
  const ticks = axisTicks(axis, zone)
  const nowAt = axis.x(now)
  return (
    <svg className={styles['axis']} width={axis.width} height={22} aria-hidden="true">
      {ticks.map(({ at, label }) => (
        <g key={at} transform={`translate(${axis.x(at)} 0)`}>
          <line y1={16} y2={22} className={styles['tick']} />
          <text y={11} textAnchor={anchorOf(axis.x(at), axis.width)}>
            {label}
          </text>
        </g>
      ))}
      {nowAt >= 0 && nowAt <= axis.width && (
        <path className={styles['nowMark']} d={`M${nowAt - 4} 16h8l-4 6z`} />
      )}
    </svg>
  )
}

/** Labels at the edges stay inside. */
function anchorOf(x: number, width: number): 'start' | 'middle' | 'end' {
  if (x < 36) return 'start'
  return x > width - 36 ? 'end' : 'middle'
}
