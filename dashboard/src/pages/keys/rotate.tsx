import { useMutation } from '@tanstack/react-query'
import { type ReactNode, useState } from 'react'
import type { ApiKeyEntry, IssuedApiKey } from 'tidemark/client'
import { useClient } from '../../api/index.ts'
import { Button, Dialog, ErrorBox, Select } from '../../ui/index.ts'
import styles from './keys.module.css'

/** A new secret beside the old one. */
export function Rotate({
  of,
  onMade,
  onClose,
}: {
  readonly of: ApiKeyEntry
  onMade(issued: IssuedApiKey): void
  onClose(): void
}): ReactNode {
  const client = useClient()
  const [overlap, setOverlap] = useState('24 hours')
  const rotate = useMutation({
    mutationFn: () => client.access.rotateKey(of.id, { overlap }),
    onSuccess: onMade,
  })
  return (
    <Dialog
      title={`Rotate ${of.name}`}
      isOpen
      onClose={onClose}
      footer={
        <>
          <Button onClick={onClose}>Cancel</Button>
          <Button kind="primary" busy={rotate.isPending} onClick={() => rotate.mutate()}>
            Make a new secret
          </Button>
        </>
      }
    >
      <div className={styles['form']}>
        <p>
          The key keeps its id, name and scopes, and gets a new secret. The one that programs use now goes on
          for a while, so that each of them can be changed.
        </p>
        <Select
          label="The secret before goes on for"
          value={overlap}
          options={[
            { value: '1 hour', label: 'An hour' },
            { value: '24 hours', label: 'A day' },
            { value: '7 days', label: 'A week' },
            { value: '0', label: 'No time: it ends now' },
          ]}
          onChange={setOverlap}
        />
        {overlap === '0' && (
          <p className={styles['warning']}>
            Whatever uses the key now is refused from this moment on: right for a secret that has leaked.
          </p>
        )}
        {rotate.isError && <ErrorBox error={rotate.error} />}
      </div>
    </Dialog>
  )
}
