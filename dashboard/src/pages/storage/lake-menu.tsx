import { type ReactNode, useState } from 'react'
import { Confirm, Menu } from '../../ui/index.ts'

type LakeAct = 'verify' | 'sweep'

const acts: Readonly<Record<LakeAct, { title: string; label: string; begun: string; text: string }>> = {
  verify: {
    title: 'Verify every file of the lake?',
    label: 'Verify',
    begun: 'Every file of the lake is read and compared.',
    text: 'Every file of every table is read and compared with what was noted when it was written: its bytes, rows and contents. Nothing is changed, and nobody waits for it; the disk has work meanwhile.',
  },
  sweep: {
    title: 'Sweep the lake?',
    label: 'Sweep',
    begun: 'Files that nobody can need are removed.',
    text: 'Files that were replaced or dropped are removed for good, when they are older than lake.keepDropped and no snapshot, standby or replication slot can see them. The worker does this by itself every hour; a backup that is under way should be done first.',
  },
}

/** What is done with all of the lake at once. */
export function LakeMenu({
  onBegin,
}: {
  onBegin(request: { readonly kind: LakeAct }, text: string): void
}): ReactNode {
  const [act, setAct] = useState<LakeAct | null>(null)
  return (
    <>
      <Menu
        label="Whole lake"
        items={[
          { label: 'Verify every file…', run: () => setAct('verify') },
          { label: 'Sweep files that nobody needs…', run: () => setAct('sweep') },
        ]}
      />
      {act !== null && (
        <Confirm
          title={acts[act].title}
          isOpen
          onClose={() => setAct(null)}
          confirmLabel={acts[act].label}
          onConfirm={() => {
            setAct(null)
            onBegin({ kind: act }, acts[act].begun)
          }}
        >
          <p>{acts[act].text}</p>
        </Confirm>
      )}
    </>
  )
}
