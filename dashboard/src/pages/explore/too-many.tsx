import { useMutation } from '@tanstack/react-query'
import type { ReactNode } from 'react'
import { type DatasetInfo, isTidemarkClientError } from 'tidemark/client'
import { useClient } from '../../api/index.ts'
import type { PanelAnswer } from '../../chart/index.ts'
import { Button, ErrorBox } from '../../ui/index.ts'
import { toCall } from './aggregates.ts'
import { typeOf } from './filters.ts'
import { namedAggregates } from './panel-of.ts'
import type { ExploreState } from './state.ts'

const most = 20

/** Where an answer would have too many cells: a way to the groups that matter. */
export function TooMany({
  info,
  state,
  result,
  update,
}: {
  readonly info: DatasetInfo
  readonly state: ExploreState
  readonly result: PanelAnswer
  update(change: Partial<ExploreState>): void
}): ReactNode {
  const client = useClient()
  const { error, question } = result
  const [column] = state.by
  const [output] = namedAggregates(state)
  const keep = useMutation({
    mutationFn: async () => {
      const { bucket: _, fill: __, zone: ___, ...rest } = question?.query ?? {}
      const query = {
        ...rest,
        ...(info.kind === 'aggregate' ? { bucket: null } : {}),
        select: { it: output === undefined ? null : toCall(info, output.aggregate) },
        order: ['-it'],
        limit: most,
      }
      const { rows } = await client.query(info.name, query as never)
      return (rows as readonly Readonly<Record<string, unknown>>[]).flatMap((row) => {
        const value = row[column ?? '']
        return value === null || value === undefined ? [] : [String(value)]
      })
    },
    onSuccess: (values) =>
      update({ where: [...state.where, { column: column as string, op: 'in', values }] }),
  })
  const isIt = isTidemarkClientError(error) && error.code === 'TM_LIMIT'
  // text that stands for what lies inside of JSON may have been a number
  if (!isIt || state.by.length !== 1 || output === undefined || typeOf(info, column ?? '') === 'json')
    return null
  return (
    <div>
      <Button kind="primary" busy={keep.isPending} onClick={() => keep.mutate()}>
        Only the {most} of {column} with the greatest {output.name}
      </Button>
      {keep.isError && <ErrorBox error={keep.error} />}
    </div>
  )
}
