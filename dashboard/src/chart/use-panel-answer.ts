import { keepPreviousData, useQuery } from '@tanstack/react-query'
import { useEffect, useMemo, useState } from 'react'
import type { Answer, DatasetInfo, LiveAnswer, LiveState } from 'tidemark/client'
import { useClient } from '../api/index.ts'
import type { PanelContent } from './panel.ts'
import { type Question, questionBefore, questionOf } from './question.ts'
import type { TableOfAnswer } from './series.ts'
import type { RangeText } from './times.ts'

/** Who answers in place of the client: whoever looks at a shared board may ask for its panels only. */
export type Ask = (
  question: Question,
  options: { readonly signal: AbortSignal; readonly isBefore: boolean },
) => Promise<Answer>

export interface PanelAnswerOptions {
  readonly panel: PanelContent
  readonly range: RangeText
  /** Of the panel's dataset; undefined while it is not known, and nothing is asked. */
  readonly info: DatasetInfo | undefined
  readonly width: number
  readonly zone: string
  readonly isLive?: boolean
  /** Asked again so often. */
  readonly everyMs?: number
  readonly ask?: Ask
}

export interface PanelAnswer {
  readonly question: Question | null
  /** The last that was asked: its plan is the one to be drawn. */
  readonly answer: Answer | undefined
  /** What is shown: newer than the answer while it is live. */
  readonly table: TableOfAnswer | undefined
  readonly before: Answer | undefined
  /** How much earlier `before` is. */
  readonly shiftMs: number
  /** What the time axis shows, in ms. */
  readonly axis: { readonly from: number; readonly to: number } | null
  readonly error: unknown
  readonly isAsking: boolean
  /** What is shown is of the question before, until this one is answered. */
  readonly isOld: boolean
  readonly live: {
    readonly state: LiveState
    readonly error: Error | null
    readonly asOf: string | null
  } | null
  refetch(): void
}

interface LiveNow {
  readonly of: string
  readonly state: LiveState
  readonly error: Error | null
  readonly answer: LiveAnswer<Readonly<Record<string, unknown>>> | null
}

/** Asks what a panel shows, again when its range or itself changes, and keeps it up to date. */
export function usePanelAnswer(options: PanelAnswerOptions): PanelAnswer {
  const { panel, range, info, width, zone, isLive = false, everyMs, ask } = options
  const client = useClient()
  const content = JSON.stringify([panel.query, panel.chart])
  // biome-ignore lint/correctness/useExhaustiveDependencies: `content` stands for the panel
  const question = useMemo(
    () => (info === undefined ? null : questionOf(panel, range, info, { width, zone, now: Date.now() })),
    [content, range.from, range.to, info, width, zone],
  )
  const key = question === null ? '' : JSON.stringify([question.dataset, question.query])
  const isAskable = question !== null && hasSelect(question)
  const main = useQuery({
    queryKey: ['query', key, ask === undefined ? 'client' : 'own'],
    enabled: isAskable,
    placeholderData: keepPreviousData,
    refetchOnWindowFocus: false,
    staleTime: 30_000,
    ...(everyMs === undefined || isLive ? {} : { refetchInterval: everyMs }),
    queryFn: ({ signal }) =>
      ask === undefined
        ? (client.query(question?.dataset as string, question?.query as never, { signal }) as Promise<Answer>)
        : ask(question as Question, { signal, isBefore: false }),
  })
  const answer = isAskable ? main.data : undefined
  // whoever answers for a shared board chooses the bucket, too
  const asked = useMemo(
    () =>
      ask === undefined || question === null || answer === undefined
        ? question
        : { ...question, bucketMs: leastStep(answer.rows) ?? question.bucketMs },
    [ask, question, answer],
  )
  const axis = useMemo(() => axisOf(answer, asked), [answer, asked])
  const earlier = useMemo(
    () =>
      panel.compare === undefined ||
      question === null ||
      axis === null ||
      main.isPlaceholderData ||
      ask !== undefined
        ? null
        : questionBefore(question, axis, panel.compare),
    [panel.compare, question, axis, main.isPlaceholderData, ask],
  )
  const canCompare = panel.compare !== undefined && axis !== null && (ask !== undefined || earlier !== null)
  const before = useQuery({
    queryKey: [
      'query',
      'before',
      panel.compare,
      key,
      ask === undefined ? JSON.stringify(earlier?.query) : 'own',
    ],
    enabled: isAskable && canCompare,
    refetchOnWindowFocus: false,
    staleTime: 30_000,
    ...(everyMs === undefined || isLive ? {} : { refetchInterval: everyMs }),
    queryFn: ({ signal }) =>
      ask === undefined
        ? (client.query(earlier?.dataset as string, earlier?.query as never, { signal }) as Promise<Answer>)
        : ask(question as Question, { signal, isBefore: true }),
  })
  const [live, setLive] = useState<LiveNow | null>(null)
  useEffect(() => {
    if (!isLive || question === null || !isAskable) {
      setLive(null)
      return
    }
    const update = (change: Partial<LiveNow>): void =>
      setLive((was) => ({
        state: 'connecting',
        error: null,
        answer: null,
        ...(was?.of === key ? was : {}),
        ...change,
        of: key,
      }))
    const subscription = client.subscribe(question.dataset, question.query as never, {
      onChange: (told) => update({ answer: told as never }),
      onState: (state, error) => update({ state, error }),
    })
    return () => subscription.close()
  }, [client, isLive, isAskable, question, key])
  const liveNow = live !== null && live.of === key ? live : null
  const told = liveNow?.answer ?? null
  const beforeAnswer = canCompare ? before.data : undefined
  return {
    question: asked,
    answer,
    table: told ?? answer,
    before: beforeAnswer,
    shiftMs: beforeAnswer && axis ? axis.from - Date.parse(beforeAnswer.plan.range.from ?? '') || 0 : 0,
    axis: told !== null && question !== null ? slid(axis, told, question) : axis,
    error: main.error ?? before.error,
    isAsking: main.isFetching || (canCompare && before.isFetching),
    isOld: main.isPlaceholderData,
    live:
      liveNow === null
        ? null
        : { state: liveNow.state, error: liveNow.error, asOf: liveNow.answer?.asOf ?? null },
    refetch: () => {
      void main.refetch()
      if (canCompare) void before.refetch()
    },
  }
}

function hasSelect({ query }: Question): boolean {
  const { select, columns, latestBy } = query
  if (select === undefined)
    return columns !== undefined || latestBy !== undefined || query['bucket'] !== undefined
  return Object.keys(select as object).length > 0
}

/** The least way between two buckets. */
function leastStep(rows: Answer['rows']): number | null {
  const times = [
    ...new Set(rows.map(({ bucket }) => (typeof bucket === 'string' ? Date.parse(bucket) : Number.NaN))),
  ]
    .filter(Number.isFinite)
    .sort((a, b) => a - b)
  const steps = times.slice(1).map((ms, i) => ms - (times[i] as number))
  return steps.length === 0 ? null : steps.reduce((least, step) => Math.min(least, step))
}

/** The range as it was read; an open end is where the buckets end. */
function axisOf(answer: Answer | undefined, question: Question | null): PanelAnswer['axis'] {
  if (answer === undefined || question === null) return null
  const { from, to } = answer.plan.range
  const isOpen = from === null || to === null
  const times = (isOpen ? answer.rows : []).map(({ bucket }) =>
    typeof bucket === 'string' ? Date.parse(bucket) : Number.NaN,
  )
  let [least, greatest] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]
  for (const ms of times) {
    if (ms < least) least = ms
    if (ms > greatest) greatest = ms
  }
  const start = from === null ? least : Date.parse(from)
  const end = to === null ? greatest + (question.bucketMs ?? 0) : Date.parse(to)
  return Number.isFinite(start) && Number.isFinite(end) && start < end ? { from: start, to: end } : null
}

/** A live answer has no plan: a range that ends now has gone on since. */
function slid(
  axis: PanelAnswer['axis'],
  { asOf }: { readonly asOf: string },
  { query }: Question,
): PanelAnswer['axis'] {
  if (axis === null || query['to'] !== 'now') return axis
  const to = Math.max(axis.to, Date.parse(asOf))
  const from =
    typeof query['from'] === 'string' && /^\s*(now\s*)?-/.test(query['from'])
      ? axis.from + (to - axis.to)
      : axis.from
  return { from, to }
}
