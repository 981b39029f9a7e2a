import { type ReactNode, useMemo, useRef, useState } from 'react'
import { Link, useNavigate } from 'react-router'
import type { Board, Panel } from 'tidemark/client'
import { useMe } from '../../api/index.ts'
import { useCommands, useToast } from '../../shell/index.ts'
import { Badge, Button, Confirm, Menu, type MenuItem, PageHeader, Time } from '../../ui/index.ts'
import { AddPanelDialog } from './add-panel-dialog.tsx'
import styles from './board.module.css'
import { BoardBar } from './board-bar.tsx'
import { BoardPanel } from './board-panel.tsx'
import { ConflictDialog } from './conflict-dialog.tsx'
import {
  type Draft,
  draftOf,
  inReadingOrder,
  withDuplicate,
  withoutPanel,
  withPanel,
  withPanels,
  withWords,
} from './document.ts'
import { EmptyBoard } from './empty-board.tsx'
import { exploreLink, isForExplore } from './explore-link.ts'
import { FullPanel } from './full-panel.tsx'
import { Grid } from './grid.tsx'
import { arrange } from './layout.ts'
import { PanelFrame } from './panel-frame.tsx'
import { RangeControl } from './range-control.tsx'
import { RefreshControl } from './refresh-control.tsx'
import { ShareDialog } from './share-dialog.tsx'
import { useBoardActs } from './use-board-acts.ts'
import { useBoardUrl } from './use-board-url.ts'
import { useEditing } from './use-editing.ts'
import { useFullScreen } from './use-full-screen.ts'
import { useSaving } from './use-saving.ts'
import { whoText } from './who.ts'
import { BoardWordsDialog, PanelWordsDialog } from './words-dialog.tsx'

type Open = 'share' | 'add' | 'name' | 'remove' | { readonly rename: string } | null

/** A board: looked at, or edited. */
export function BoardView({
  board,
  onBoard,
}: {
  readonly board: Board
  readonly onBoard: (board: Board) => void
}): ReactNode {
  const me = useMe()
  const url = useBoardUrl()
  const isFile = board.source === 'file'
  const editing = useEditing(board, url.isEditing && !isFile)
  const stored = useMemo(() => draftOf(board), [board])
  const draft = editing?.draft ?? stored
  const { document } = draft
  const { panels } = document
  const range = url.range ?? document.range
  const refresh = url.refresh ?? document.refresh ?? 'off'
  const [open, setOpen] = useState<Open>(null)
  const close = (): void => setOpen(null)
  const stage = useRef<HTMLDivElement>(null)
  const acts = useBoardActs()
  const toast = useToast()
  const navigate = useNavigate()
  const saving = useSaving({ board, editing, onBoard, onDone: () => url.setEditing(false) })
  const { full, setFull } = url
  useFullScreen(stage, full === 'board', () => setFull(null))

  const remove = (panel: Panel): void => {
    if (!editing) return
    const before = editing.draft
    const after = withoutPanel(before, panel.id)
    focusAfter(stage.current, before, panel.id)
    editing.change(`removed “${panel.title}”`, after)
    toast({
      kind: 'ok',
      text: `“${panel.title}” was removed`,
      action: {
        label: 'Undo',
        run: () =>
          editing.change(`brought back “${panel.title}”`, (now) =>
            now === after
              ? before
              : withPanels(now, arrange([...now.document.panels, panel], panel.id, panel.place)),
          ),
      },
    })
  }
  const explore = (panel: Panel): void => void navigate(exploreLink(panel, range, editing ? board : null))
  const itemsOf = (panel: Panel): MenuItem[] => [
    { label: 'Full screen', run: () => setFull(panel.id) },
    ...(editing
      ? [
          ...(isForExplore(panel) ? [{ label: 'Edit in Explore', run: () => explore(panel) }] : []),
          { label: 'Rename…', run: () => setOpen({ rename: panel.id }) },
          {
            label: 'Duplicate',
            run: () =>
              editing.change(`duplicated “${panel.title}”`, (now) => withDuplicate(now, panel.id).draft),
          },
          { label: 'Remove', danger: true, run: () => remove(panel) },
        ]
      : isForExplore(panel)
        ? [{ label: 'Open in Explore', run: () => explore(panel) }]
        : []),
  ]
  const boardItems: MenuItem[] = [
    ...(isFile
      ? []
      : [
          { label: 'Rename…', run: () => setOpen('name') },
          { label: 'Duplicate', run: () => void acts.duplicate(board.id) },
        ]),
    { label: 'Export as JSON', run: () => void acts.download(draft) },
    ...(isFile ? [] : [{ label: 'Remove board…', danger: true, run: () => setOpen('remove') }]),
  ]
  useCommands([
    ...(isFile
      ? [{ id: 'board.copy', title: 'Save a copy', run: () => void acts.duplicate(board.id) }]
      : editing
        ? [{ id: 'board.add', title: 'Add a panel', keys: 'a', run: () => setOpen('add') }]
        : [
            { id: 'board.edit', title: 'Edit board', keys: 'e', run: () => url.setEditing(true) },
            { id: 'board.share', title: 'Share board', keys: 's', run: () => setOpen('share') },
          ]),
    {
      id: 'board.full',
      title: full === null ? 'Full screen' : 'Leave full screen',
      keys: 'f',
      run: () => setFull(full === null ? 'board' : null),
    },
    {
      id: 'board.live',
      title: refresh === 'live' ? 'Stop live updates' : 'Live updates',
      keys: 'l',
      run: () => url.setRefresh(refresh === 'live' ? 'off' : 'live'),
    },
    { id: 'board.export', title: 'Export board as JSON', run: () => void acts.download(draft) },
  ])

  const renamed =
    typeof open === 'object' && open !== null ? panels.find(({ id }) => id === open.rename) : null
  const alone = full !== null && full !== 'board' ? panels.find(({ id }) => id === full) : null
  const look = { range, refresh, onZoom: url.setRange }
  return (
    <div ref={stage} className={styles['stage']} data-full={full === 'board' || undefined}>
      <PageHeader
        title={draft.name}
        subtitle={
          <>
            {draft.description}
            {isFile && (
              <>
                {draft.description && ' · '}
                <Badge kind="quiet">file</Badge> Kept in <code>{board.updatedBy}</code>, read-only here
              </>
            )}
          </>
        }
        actions={
          <>
            <RangeControl range={range} onChange={url.setRange} isOwn={url.range === null} />
            <RefreshControl refresh={refresh} onChange={url.setRefresh} />
            {full === 'board' ? (
              <Button onClick={() => setFull(null)}>
                Leave full screen <kbd>f</kbd>
              </Button>
            ) : (
              <>
                {isFile ? (
                  <Button kind="primary" onClick={() => void acts.duplicate(board.id)}>
                    Save a copy
                  </Button>
                ) : (
                  <>
                    <Button icon="share" onClick={() => setOpen('share')}>
                      Share
                    </Button>
                    {!editing && (
                      <Button icon="edit" onClick={() => url.setEditing(true)}>
                        Edit
                      </Button>
                    )}
                  </>
                )}
                <Button
                  kind="quiet"
                  icon="expand"
                  aria-label="Full screen"
                  title="Full screen: f"
                  onClick={() => setFull('board')}
                />
                <Menu label="Do something with this board" icon="more" kind="quiet" items={boardItems} />
              </>
            )}
          </>
        }
      />
      {saving.kept && (
        <div className={styles['notice']} role="status">
          <p>You have changes of this board that are not saved.</p>
          <Button small kind="primary" onClick={() => url.setEditing(true)}>
            Go on editing
          </Button>
          <Button small onClick={saving.drop}>
            Discard them
          </Button>
        </div>
      )}
      {editing && (
        <BoardBar
          editing={editing}
          saving={saving}
          range={url.range}
          refresh={url.refresh}
          onAdd={() => setOpen('add')}
        />
      )}
      {editing && board.version > editing.base.version && !saving.conflict && (
        <div className={styles['notice']} role="status">
          <p>
            <strong>{board.updatedBy === me.id ? 'Another window of yours' : board.updatedBy}</strong> changed
            this board <Time value={board.updatedAt} ago />.
          </p>
          <Button small onClick={() => saving.compare(board)}>
            See what changed
          </Button>
        </div>
      )}
      {panels.length === 0 ? (
        <EmptyBoard
          board={board}
          isEditing={editing !== null}
          isFile={isFile}
          onEdit={() => url.setEditing(true)}
          onAdd={() => setOpen('add')}
        />
      ) : (
        <Grid
          panels={panels}
          isFull={full === 'board'}
          {...(editing
            ? { onArrange: (next, act) => editing.change(act, (now) => withPanels(now, next)) }
            : {})}
        >
          {(panel, handle) => (
            <PanelFrame panel={panel} items={itemsOf(panel)} handle={handle}>
              <BoardPanel panel={panel} {...look} />
            </PanelFrame>
          )}
        </Grid>
      )}
      {alone && (
        <FullPanel title={draft.name} onLeave={() => setFull(null)}>
          <PanelFrame
            panel={alone}
            items={[]}
            handle={null}
            isFull
            actions={
              <Button small onClick={() => setFull(null)}>
                Leave full screen
              </Button>
            }
          >
            <BoardPanel panel={alone} {...look} />
          </PanelFrame>
        </FullPanel>
      )}
      {open === 'share' && (
        <ShareDialog board={board} hasDraft={editing?.isChanged === true || saving.kept} onClose={close} />
      )}
      {open === 'add' && editing && (
        <AddPanelDialog
          board={board}
          panels={panels}
          range={range}
          onAdd={(panel) => editing.change(`added “${panel.title}”`, (now) => withPanel(now, panel))}
          onClose={close}
        />
      )}
      {open === 'name' && (
        <BoardWordsDialog
          name={draft.name}
          description={draft.description}
          onClose={close}
          onSave={(words) => {
            if (editing) editing.change('renamed the board', (now) => ({ ...now, ...words }))
            else void saving.saveNow({ ...stored, ...words })
          }}
        />
      )}
      {renamed && editing && (
        <PanelWordsDialog
          panel={renamed}
          onClose={close}
          onSave={(words) =>
            editing.change(`renamed “${renamed.title}”`, (now) => withWords(now, renamed.id, words))
          }
        />
      )}
      <Confirm
        title={`Remove “${board.name}”?`}
        isOpen={open === 'remove'}
        kind="danger"
        confirmLabel="Remove board"
        onClose={close}
        onConfirm={() => {
          close()
          void acts.remove(board)
        }}
      >
        <p>
          It goes for everybody of your tenant, and links to it end. It can be brought back for a few seconds
          afterwards, without its links.
        </p>
      </Confirm>
      {saving.conflict && editing && (
        <ConflictDialog
          base={editing.base}
          mine={editing.draft}
          theirs={saving.conflict}
          busy={saving.busy}
          onMerged={(both) => void saving.saveMerged(both)}
          onCopy={() => void saving.saveCopy()}
          onClose={saving.closeConflict}
        />
      )}
      <p className={styles['foot']}>
        <Link to="/boards">All boards</Link> ·{' '}
        {isFile ? (
          <>
            read from {board.updatedBy}, written <Time value={board.updatedAt} ago />
          </>
        ) : (
          <>
            version {board.version}, saved <Time value={board.updatedAt} ago /> by{' '}
            {whoText(board.updatedBy, me)}
          </>
        )}
      </p>
    </div>
  )
}

/** The panel that had the focus goes: the next one has it then. */
function focusAfter(stage: HTMLElement | null, { document }: Draft, id: string): void {
  const order = inReadingOrder(document)
  const at = order.findIndex((panel) => panel.id === id)
  const next = order[at + 1] ?? order[at - 1]
  setTimeout(() => {
    const where = next ? `[data-panel="${CSS.escape(next.id)}"] [aria-haspopup]` : 'section button'
    stage?.querySelector<HTMLElement>(where)?.focus()
  })
}
