import type { ReactNode } from 'react'
import type { AnswerPlan, PlanPart } from 'tidemark/client'
import { formatBytes, formatMs, formatNumber } from '../format/index.ts'
import { Badge, Quantity, Table, Time } from '../ui/index.ts'
import styles from './plan-details.module.css'
import { planLanes, tierOf } from './plan-lanes.ts'

export interface PlanDetailsProps {
  readonly plan: AnswerPlan
}

const everything = { from: Number.NEGATIVE_INFINITY, to: Number.POSITIVE_INFINITY }

/** What was read of a part: rows, bytes and files, as far as its source tells. */
function readText({ rows, bytes, files, summaries }: PlanPart): string {
  const said = [
    ...(rows === null ? [] : [`${formatNumber(rows, { compact: true })} rows`]),
    ...(bytes === null || bytes === 0 ? [] : [formatBytes(bytes)]),
    ...(files === undefined || files === 0 ? [] : [`${files} ${files === 1 ? 'file' : 'files'}`]),
    ...(summaries === undefined || summaries === 0
      ? []
      : [`${summaries} by ${summaries === 1 ? 'its summary' : 'their summaries'}`]),
  ]
  return said.length === 0 ? '—' : said.join(', ')
}

/** A plan in words: what it took, how fresh and how exact it is, what each part read and why, and who else was considered. */
export function PlanDetails({ plan }: PlanDetailsProps): ReactNode {
  const { ms, freshness, errorBounds, parts, aggregates = [], partial = [], limits } = plan
  const { rows, bytes } = planLanes(plan, everything)
  const bounds = Object.entries(errorBounds)
  return (
    <div className={styles['details']}>
      <dl className={styles['facts']}>
        <div>
          <dt>Took</dt>
          <dd>
            {formatMs(ms.total)}{' '}
            <small>
              plan {formatMs(ms.plan)}, read {formatMs(ms.read)}, merge {formatMs(ms.merge)}
            </small>
          </dd>
        </div>
        <div>
          <dt>Read</dt>
          <dd>
            {rows === null ? (
              'not told'
            ) : (
              <>
                <Quantity value={rows} unit="rows" /> rows
              </>
            )}
            {bytes !== null && bytes > 0 && (
              <>
                , <Quantity value={bytes} unit="bytes" />
              </>
            )}
          </dd>
        </div>
        <div>
          <dt>Fresh</dt>
          <dd>
            every row committed before <Time value={freshness.asOf} precision="milli" />{' '}
            <small>{formatMs(freshness.lagMs)} before it was complete</small>
          </dd>
        </div>
        <div>
          <dt>Exact</dt>
          <dd>
            {bounds.length === 0
              ? 'every number is exact'
              : bounds.map(([name, bound]) => (
                  <span key={name} className={styles['bound']}>
                    <b>{name}</b> {bound}
                  </span>
                ))}
          </dd>
        </div>
        {partial.map(({ output, before }) => (
          <div key={output}>
            <dt>Missing</dt>
            <dd>
              <b>{output}</b> before <Time value={before} />: its rows are gone and it was not kept then
            </dd>
          </div>
        ))}
        {plan.cache && (
          <div>
            <dt>Kept</dt>
            <dd>
              {plan.cache.outcome}, layer {plan.cache.layer}, {formatMs(plan.cache.ageMs)} old
            </dd>
          </div>
        )}
        {limits.rows !== null && (
          <div>
            <dt>Limit</dt>
            <dd>{limits.rows} rows</dd>
          </div>
        )}
      </dl>
      <Table
        caption="Parts of the answer"
        showCaption
        columns={[
          {
            id: 'source',
            title: 'From',
            cell: ({ source }: PlanPart) => (
              <span className={styles['source']}>
                <span className={styles['dot']} data-tier={tierOf(source)} />
                {source}
              </span>
            ),
            sortBy: ({ source }) => source,
          },
          {
            id: 'begin',
            title: 'Begins',
            cell: ({ from }) => (from === null ? 'open' : <Time value={from} />),
            sortBy: ({ from }) => from,
          },
          {
            id: 'end',
            title: 'Ends',
            cell: ({ to }) => (to === null ? 'open' : <Time value={to} />),
            sortBy: ({ to }) => to,
          },
          {
            id: 'rows',
            title: 'Read',
            cell: (part) => <span className={styles['read']}>{readText(part)}</span>,
            sortBy: ({ rows: n }) => n,
          },
          {
            id: 'cells',
            title: 'Cells',
            align: 'right',
            cell: ({ cells }) => <Quantity value={cells} unit="" />,
            sortBy: ({ cells }) => cells,
          },
          {
            id: 'ms',
            title: 'Took',
            align: 'right',
            cell: ({ ms: n }) => formatMs(n),
            sortBy: ({ ms: n }) => n,
          },
          { id: 'why', title: 'Why there', cell: ({ why }) => <span className={styles['why']}>{why}</span> },
        ]}
        rows={parts}
        keyOf={(part) => String(parts.indexOf(part))}
        empty="Nobody has rows in this range: nothing was read."
        maxHeight="320px"
      />
      {aggregates.length > 0 && (
        <Table
          caption="Continuous aggregates that were considered"
          showCaption
          columns={[
            { id: 'name', title: 'Aggregate', cell: ({ name }) => name },
            {
              id: 'used',
              title: 'Used',
              cell: ({ used }) =>
                used ? <Badge kind="ok">used</Badge> : <Badge kind="quiet">not used</Badge>,
            },
            { id: 'why', title: 'Why', cell: ({ why }) => why },
          ]}
          rows={aggregates}
          keyOf={({ name }) => name}
        />
      )}
    </div>
  )
}
