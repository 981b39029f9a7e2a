import { PageHeader } from '../../ui/index.ts'

/** Put in by the shell until the page's own is here. */
export function Page(): React.ReactNode {
  return <PageHeader title="aggregates" />
}
