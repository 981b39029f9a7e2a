import type { ReactNode } from 'react'
import { Link } from 'react-router'
import { Empty, PageHeader } from '../ui/index.ts'

export function Page(): ReactNode {
  return (
    <>
      <PageHeader title="No such page" />
      <Empty title="Nothing is here" action={<Link to="/explore">Go to Explore</Link>}>
        The address may be mistyped, or the page was moved.
      </Empty>
    </>
  )
}
