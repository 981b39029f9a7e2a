import type { ReactNode } from 'react'
import { Select } from '../../ui/index.ts'
import type { Refresh } from './use-board-url.ts'

const choices: readonly { readonly value: Refresh; readonly label: string }[] = [
  { value: 'live', label: 'Live' },
  { value: '10s', label: 'Every 10 s' },
  { value: '1m', label: 'Every minute' },
  { value: '5m', label: 'Every 5 min' },
  { value: 'off', label: 'Not refreshed' },
]

/** How the panels are kept up to date. */
export function RefreshControl({
  refresh,
  onChange,
}: {
  readonly refresh: Refresh
  readonly onChange: (refresh: Refresh) => void
}): ReactNode {
  const isListed = choices.some(({ value }) => value === refresh)
  const options = isListed ? choices : [...choices, { value: refresh, label: `Every ${refresh}` }]
  return <Select<Refresh> label="Refresh" hideLabel value={refresh} options={options} onChange={onChange} />
}
