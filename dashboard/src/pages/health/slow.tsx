import { useQuery } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import type { SlowQuery } from 'tidemark/client'
import { useClient } from '../../api/index.ts'
import { formatMs } from '../../format/index.ts'
import { Badge, Code, type Column, Empty, Quantity, Query, Skeleton, Table, Time } from '../../ui/index.ts'
import { Facts, Split } from '../operate/index.ts'
import styles from './health.module.css'
import { planOf } from './plan-of.ts'

const keyOf = ({ at, dataset, ms }: SlowQuery): string => `${at} ${dataset} ${ms}`

/** Queries that took long, and where their time went. */
export function Slow({
  chosen,
  onChoose,
}: {
  readonly chosen: string
  onChoose(query: string): void
}): ReactNode {
  const client = useClient()
  const slow = useQuery({
    queryKey: ['slow-queries'],
    queryFn: ({ signal }) => client.access.slowQueries({ signal }),
    refetchInterval: 15_000,
  })
  return (
    <section aria-labelledby="health-slow" className={styles['slow']} id="slow">
      <h2 id="health-slow" className={styles['title']}>
        Slow queries
      </h2>
      <Query result={slow} skeleton={<Skeleton height={240} />}>
        {({ queries, thresholdMs }) => {
          const query = queries.find((each) => keyOf(each) === chosen) ?? null
          return (
            <Split
              title={query === null ? '' : `${query.dataset}, ${formatMs(query.ms)}`}
              choice={chosen}
              onClose={() => onChoose('')}
              detail={query && <Detail query={query} />}
            >
              <p className={styles['quiet']}>
                {thresholdMs === null
                  ? 'No query counts as slow: server.slowQuery is off.'
                  : `The last 100 of this process that took longer than ${formatMs(thresholdMs)}.`}
              </p>
              <Table
                caption="Slow queries, the newest first"
                columns={query === null ? columns : columns.filter(({ id }) => besideDetail.has(id))}
                rows={queries}
                keyOf={keyOf}
                onRow={(each) => onChoose(keyOf(each))}
                isSelected={(each) => keyOf(each) === chosen}
                empty={
                  <Empty
                    title={thresholdMs === null ? 'Slow queries are not kept' : 'No query was slow'}
                    command="server: { slowQuery: '500 ms' }"
                  >
                    The limit is <code>server.slowQuery</code> of the configuration. Each query above it is
                    kept with its plan.
                  </Empty>
                }
              />
            </Split>
          )
        }}
      </Query>
    </section>
  )
}

/** What there is room for beside one that is chosen, which says the rest. */
const besideDetail = new Set(['at', 'dataset', 'ms', 'outcome'])

const columns: readonly Column<SlowQuery>[] = [
  {
    id: 'at',
    title: 'When',
    sortBy: ({ at }) => at,
    cell: ({ at }) => <Time value={at} precision="second" />,
  },
  { id: 'dataset', title: 'Dataset', sortBy: ({ dataset }) => dataset, cell: ({ dataset }) => dataset },
  {
    id: 'ms',
    title: 'Took',
    align: 'right',
    sortBy: ({ ms }) => ms,
    cell: ({ ms }) => <Quantity value={ms} unit="ms" />,
  },
  {
    id: 'rows',
    title: 'Rows',
    align: 'right',
    sortBy: ({ rows }) => rows,
    cell: ({ rows }) => <Quantity value={rows} unit="rows" />,
  },
  {
    id: 'outcome',
    title: 'Outcome',
    sortBy: ({ outcome }) => outcome,
    cell: ({ outcome }) => <Badge kind={outcome === 'ok' ? 'ok' : 'error'}>{outcome}</Badge>,
  },
  {
    id: 'from',
    title: 'From',
    cell: ({ plan }) => [...new Set(planOf(plan)?.parts.map(({ source }) => source))].join(', '),
  },
  {
    id: 'query',
    title: 'Query',
    cell: ({ query }) => (
      <code className={styles['shape']}>{typeof query === 'string' ? query : JSON.stringify(query)}</code>
    ),
  },
]

function Detail({ query }: { readonly query: SlowQuery }): ReactNode {
  const plan = planOf(query.plan)
  return (
    <>
      <Facts
        of={[
          ['When', <Time key="at" value={query.at} precision="second" />],
          ['Kind', query.kind],
          ['Outcome', query.outcome],
          ['Planned', plan?.ms ? formatMs(plan.ms.plan) : null],
          ['Read, all parts', plan?.ms ? formatMs(plan.ms.read) : null],
          ['Merged', plan?.ms ? formatMs(plan.ms.merge) : null],
          ['Asked by', query.principal],
          ['Request, also in the log', query.request && <code key="request">{query.request}</code>],
        ]}
      />
      <div>
        <h3 className={styles['heading']}>Plan</h3>
        {plan === null ? (
          <p className={styles['quiet']}>
            There is none: it failed before it was planned, or while it was read.
          </p>
        ) : (
          <ol className={styles['parts']}>
            {plan.parts.map((part, i) => (
              // biome-ignore lint/suspicious/noArrayIndexKey: parts of one plan stay where they are
              <li key={i}>
                <div className={styles['partHead']}>
                  <strong>{part.source}</strong>
                  <span>
                    {part.ms !== null && <Quantity value={part.ms} unit="ms" />}
                    {part.rows !== null && (
                      <>
                        , <Quantity value={part.rows} unit="rows" /> rows
                      </>
                    )}
                    {part.bytes !== null && (
                      <>
                        , <Quantity value={part.bytes} unit="bytes" />
                      </>
                    )}
                  </span>
                </div>
                <Bar part={part.ms ?? 0} whole={query.ms} />
                {(part.from !== null || part.to !== null) && (
                  <p className={styles['quiet']}>
                    {part.from === null ? 'the beginning' : <Time value={part.from} />} to{' '}
                    {part.to === null ? 'the end' : <Time value={part.to} />}
                  </p>
                )}
                <p>{part.why}</p>
              </li>
            ))}
          </ol>
        )}
      </div>
      {plan !== null && plan.aggregates.length > 0 && (
        <div>
          <h3 className={styles['heading']}>Continuous aggregates</h3>
          <ul className={styles['parts']}>
            {plan.aggregates.map(({ name, used, why }) => (
              <li key={name}>
                <Badge kind={used ? 'ok' : 'quiet'}>{used ? 'used' : 'not used'}</Badge> {name}
                <p>{why}</p>
              </li>
            ))}
          </ul>
        </div>
      )}
      <div>
        <h3 className={styles['heading']}>Query</h3>
        <Code
          copy
          label="Query"
          text={typeof query.query === 'string' ? query.query : JSON.stringify(query.query, null, 2)}
        />
      </div>
    </>
  )
}

/** The part's share of the time. */
function Bar({ part, whole }: { readonly part: number; readonly whole: number }): ReactNode {
  return (
    <svg className={styles['share']} viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">
      <rect width="100" height="4" className={styles['shareAll']} />
      <rect
        width={whole > 0 ? Math.min(100, (part / whole) * 100) : 0}
        height="4"
        className={styles['sharePart']}
      />
    </svg>
  )
}
