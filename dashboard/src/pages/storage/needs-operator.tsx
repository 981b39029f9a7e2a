import type { ReactNode } from 'react'
import type { Me } from 'tidemark/client'
import { may } from '../../api/index.ts'
import { Card, Code } from '../../ui/index.ts'

/** Why somebody does not see a page of the whole engine; null: he does. */
export function whyNot(me: Me): string | null {
  const who = me.name ?? me.id
  if (!may(me, 'admin'))
    return `You are signed in as ${who}, which has the ${me.scopes.length === 1 ? 'scope' : 'scopes'} ${me.scopes.join(', ')}, and not admin.`
  if (!me.allTenants)
    return `You are signed in as ${who}, which is an administrator of the tenant ${me.tenant ?? ''} alone.`
  return null
}

export function NeedsOperator({ what, why }: { readonly what: string; readonly why: string }): ReactNode {
  return (
    <Card title="You cannot open this">
      <p>
        {what} is of all tenants together, so it takes a key or token with the scope <strong>admin</strong>{' '}
        that is of no single tenant. {why}
      </p>
      <p>Whoever runs the server makes one, and you sign in with it:</p>
      <Code text="tidemark keys create operator --scope admin,query --all-tenants" copy />
    </Card>
  )
}
