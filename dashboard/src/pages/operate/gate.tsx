import type { ReactNode } from 'react'
import { may, useMe } from '../../api/index.ts'
import { Empty, PageHeader } from '../../ui/index.ts'

/**
 * Shows what is for administrators to them, and says to others what they would need. `allTenants`: what is of all tenants together is
 * for nobody who is of one.
 */
export function Gate({
  title,
  what,
  allTenants = false,
  children,
}: {
  /** Of the page. */
  readonly title: string
  /** `Keys are`, `Health is`. */
  readonly what: string
  readonly allTenants?: boolean
  readonly children: ReactNode
}): ReactNode {
  const me = useMe()
  if (!may(me, 'admin'))
    return (
      <>
        <PageHeader title={title} />
        <Empty
          title={`${what} for administrators`}
          command="tidemark keys create administrator --scope admin,query --all-tenants"
        >
          You are signed in with {me.scopes.length === 0 ? 'no scope' : `the scope ${me.scopes.join(', ')}`}.
          Ask whoever runs this server for a key with the scope admin, or make one at its shell and sign in
          again.
        </Empty>
      </>
    )
  if (allTenants && !me.allTenants)
    return (
      <>
        <PageHeader title={title} />
        <Empty
          title={`${what} of all tenants together`}
          command="tidemark keys create operator --scope admin,query --all-tenants"
        >
          You are signed in for {me.tenant === null ? 'no tenant' : `the tenant ${me.tenant}`}, and what is
          here tells of everybody. Dead letters, keys and audit show what is yours.
        </Empty>
      </>
    )
  return children
}
