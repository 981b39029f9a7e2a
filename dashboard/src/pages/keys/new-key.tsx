import { useMutation } from '@tanstack/react-query'
import { type ReactNode, useId, useState } from 'react'
import type { AccessScope, IssuedApiKey } from 'tidemark/client'
import { may, useClient, useDatasets, useMe } from '../../api/index.ts'
import { useNow } from '../../shell/index.ts'
import { Button, Checkbox, Combobox, Dialog, ErrorBox, Select, TextField } from '../../ui/index.ts'
import { emptyDraft, type KeyDraft, problemsOf, wantedOf } from './key-status.ts'
import styles from './keys.module.css'

const scopes: readonly (readonly [AccessScope, string])[] = [
  ['ingest', 'write rows, by every protocol'],
  ['query', 'ask, read and subscribe'],
  ['admin', 'manage keys and run the place; holds neither of the other two'],
]

/** Makes a key; whoever opened it is given the secret. */
export function NewKey({
  onMade,
  onClose,
}: {
  onMade(issued: IssuedApiKey): void
  onClose(): void
}): ReactNode {
  const client = useClient()
  const me = useMe()
  const now = useNow(60_000)
  const form = useId()
  const [draft, setDraft] = useState<KeyDraft>({
    ...emptyDraft,
    whose: me.allTenants ? 'all' : 'own',
    datasets: me.datasets ?? [],
  })
  const [wasSent, setWasSent] = useState(false)
  const change = (part: Partial<KeyDraft>): void => setDraft((was) => ({ ...was, ...part }))
  const problems = problemsOf(draft, now)
  const shown = wasSent ? problems : {}
  const make = useMutation({ mutationFn: () => client.access.createKey(wantedOf(draft)), onSuccess: onMade })
  return (
    <Dialog
      title="New key"
      isOpen
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" type="submit" form={form} busy={make.isPending}>
            Make the key
          </Button>
        </>
      }
    >
      <form
        id={form}
        className={styles['form']}
        noValidate
        onSubmit={(event) => {
          event.preventDefault()
          setWasSent(true)
          if (Object.keys(problems).length === 0) make.mutate()
        }}
      >
        <TextField
          label="Name"
          value={draft.name}
          onChange={(name) => change({ name })}
          hint="What uses it. It is shown in this list and in the audit log."
          error={shown.name}
        />
        <fieldset className={styles['fieldset']} aria-describedby={`${form}-scopes`}>
          <legend>It may</legend>
          {scopes.map(([scope, words]) => (
            <Checkbox
              key={scope}
              label={`${scope}: ${words}`}
              checked={draft.scopes.includes(scope)}
              onChange={(checked) =>
                change({
                  scopes: checked ? [...draft.scopes, scope] : draft.scopes.filter((one) => one !== scope),
                })
              }
            />
          ))}
          <p id={`${form}-scopes`} className={styles['problem']} role={shown.scopes ? 'alert' : undefined}>
            {shown.scopes}
          </p>
        </fieldset>
        {me.allTenants ? (
          <div className={styles['pair']}>
            <Select
              label="Whose rows"
              value={draft.whose}
              options={[
                { value: 'all', label: 'Of every tenant' },
                { value: 'one', label: 'Of one tenant' },
              ]}
              onChange={(whose) => change({ whose: whose === 'one' ? 'one' : 'all' })}
            />
            {draft.whose === 'one' && (
              <TextField
                label="Tenant"
                value={draft.tenant}
                onChange={(tenant) => change({ tenant })}
                error={shown.tenant}
              />
            )}
          </div>
        ) : (
          <p className={styles['quiet']}>It means the rows of your tenant, {me.tenant}.</p>
        )}
        <Datasets chosen={draft.datasets} onChange={(datasets) => change({ datasets })} />
        <div className={styles['pair']}>
          <Select
            label="Expires"
            value={draft.expires}
            options={[
              { value: '30 days', label: 'In 30 days' },
              { value: '90 days', label: 'In 90 days' },
              { value: '365 days', label: 'In a year' },
              { value: 'at', label: 'After a day…' },
              { value: '', label: 'Never' },
            ]}
            onChange={(expires) => change({ expires })}
          />
          {draft.expires === 'at' && (
            <TextField
              label="Last day, UTC"
              type="date"
              value={draft.expiresAt}
              onChange={(expiresAt) => change({ expiresAt })}
              error={shown.expiresAt}
            />
          )}
        </div>
        {make.isError && <ErrorBox error={make.error} />}
      </form>
    </Dialog>
  )
}

/** Whoever may not list datasets names them. */
function Datasets({
  chosen,
  onChange,
}: {
  readonly chosen: readonly string[]
  onChange(datasets: string[]): void
}): ReactNode {
  const me = useMe()
  if (may(me, 'query')) return <ListedDatasets chosen={chosen} onChange={onChange} />
  return (
    <TextField
      label="Datasets"
      value={chosen.join(', ')}
      onChange={(text) => onChange(text.split(/[,\s]+/).filter((name) => name !== ''))}
      hint="Names with commas between them. Empty: every dataset."
    />
  )
}

function ListedDatasets({
  chosen,
  onChange,
}: {
  readonly chosen: readonly string[]
  onChange(datasets: string[]): void
}): ReactNode {
  const { data = [] } = useDatasets()
  return (
    <Combobox
      label="Datasets"
      multiple
      value={[...chosen]}
      options={data.map(({ name, kind }) => ({ value: name, label: name, hint: kind }))}
      placeholder="Every dataset"
      onChange={(value) => onChange([value].flat())}
    />
  )
}
