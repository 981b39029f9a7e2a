import { useQuery } from '@tanstack/react-query'
import { type ReactNode, useCallback, useMemo } from 'react'
import { useParams } from 'react-router'
import { type Client, isTidemarkClientError, type Panel, type SharedBoard } from 'tidemark/client'
import { useClient } from '../../api/index.ts'
import { type Ask, sharedInfo } from '../../chart/index.ts'
import { useCommands, useTheme, useZone } from '../../shell/index.ts'
import { Button, Empty, ErrorBox, IconButton, PageHeader, Time } from '../../ui/index.ts'
import { Drawing } from './board-panel.tsx'
import { BoardSkeleton } from './board-skeleton.tsx'
import { draftOf } from './document.ts'
import { FullPanel } from './full-panel.tsx'
import { Grid } from './grid.tsx'
import { PanelFrame } from './panel-frame.tsx'
import styles from './shared.module.css'
import { type Range, useBoardUrl } from './use-board-url.ts'

/** Live answers need a session; readers of a link see what changed a little later. */
const refreshOfLive = '10s'

/** A board for whoever has the link: no navigation, no signing in, nothing to change. */
export function Page(): ReactNode {
  const { token = '' } = useParams()
  const client = useClient()
  const board = useQuery({
    queryKey: ['shared', token],
    queryFn: ({ signal }) => client.boards.shared(token, { signal }),
    // a link that was revoked is noticed, and so is a board that was changed
    refetchInterval: 30_000,
    structuralSharing: true,
    retry: false,
  })
  const isOver = isTidemarkClientError(board.error) && board.error.code === 'TM_UNKNOWN_SHARE'
  return (
    <div className={styles['page']}>
      <Top />
      <main className={styles['main']}>
        {isOver ? (
          <>
            <PageHeader title="This link does not work" />
            <Empty title="Nothing is shown by this link any more">
              <p>
                It has expired, it was revoked, or a part of it is missing. Ask whoever sent it for a new one:
                boards are shared from their own page, with “Share”.
              </p>
            </Empty>
          </>
        ) : board.data ? (
          <>
            {board.isError && <ErrorBox error={board.error} retry={() => void board.refetch()} />}
            <Shared board={board.data} token={token} />
          </>
        ) : board.isError ? (
          <>
            <PageHeader title="Shared board" />
            <ErrorBox error={board.error} retry={() => void board.refetch()} />
          </>
        ) : (
          <BoardSkeleton />
        )}
      </main>
    </div>
  )
}

function Top(): ReactNode {
  const { theme, choose } = useTheme()
  const { zone, isUtc, toggle } = useZone()
  const next = theme === 'dark' ? 'light' : 'dark'
  useCommands([
    { id: 'zone', title: 'Local time or UTC', keys: 'u', run: toggle },
    { id: 'theme', title: 'Light or dark', keys: 't', run: () => choose(next) },
  ])
  return (
    <header className={styles['top']}>
      <span className={styles['brand']}>
        <img src="/icon.svg" alt="" width={22} height={22} />
        Tidemark
      </span>
      <Button
        kind="quiet"
        small
        aria-pressed={isUtc}
        title={`Times are shown in ${zone}; key u`}
        onClick={toggle}
      >
        {isUtc ? 'UTC' : 'Local'}
      </Button>
      <IconButton
        label={`${next === 'dark' ? 'Dark' : 'Light'} theme`}
        icon={next === 'dark' ? 'moon' : 'sun'}
        onClick={() => choose(next)}
      />
    </header>
  )
}

function Shared({ board, token }: { readonly board: SharedBoard; readonly token: string }): ReactNode {
  const client = useClient()
  const url = useBoardUrl()
  const { document } = useMemo(() => draftOf(board), [board])
  const isZoomed = url.range !== null
  const range = url.range ?? document.range
  const refresh = document.refresh === 'live' ? refreshOfLive : (document.refresh ?? 'off')
  const alone = document.panels.find(({ id }) => id === url.full)
  const leave = (): void => url.setFull(null)
  const bodyOf = (panel: Panel): ReactNode => (
    <SharedPanel
      panel={panel}
      token={token}
      client={client}
      range={range}
      isZoomed={isZoomed}
      refresh={refresh}
      onZoom={url.setRange}
    />
  )
  return (
    <>
      <PageHeader
        title={board.name}
        subtitle={board.description}
        actions={
          isZoomed && (
            <Button icon="back" onClick={() => url.setRange(null)}>
              Back to the whole range
            </Button>
          )
        }
      />
      {document.panels.length === 0 && <Empty title="There is nothing on this board yet" />}
      <Grid panels={document.panels}>
        {(panel) => (
          <PanelFrame
            panel={panel}
            handle={null}
            items={[{ label: 'Full screen', run: () => url.setFull(panel.id) }]}
          >
            {bodyOf(panel)}
          </PanelFrame>
        )}
      </Grid>
      {alone && (
        <FullPanel title={board.name} onLeave={leave}>
          <PanelFrame
            panel={alone}
            handle={null}
            items={[]}
            isFull
            actions={
              <Button small onClick={leave}>
                Leave full screen
              </Button>
            }
          >
            {bodyOf(alone)}
          </PanelFrame>
        </FullPanel>
      )}
      <p className={styles['foot']}>
        Read-only. This link is good until <Time value={board.expiresAt} precision="minute" />.
      </p>
    </>
  )
}

function SharedPanel({
  panel,
  token,
  client,
  range,
  isZoomed,
  refresh,
  onZoom,
}: {
  readonly panel: Panel
  readonly token: string
  readonly client: Client
  readonly range: Range
  readonly isZoomed: boolean
  readonly refresh: string
  readonly onZoom: (range: Range) => void
}): ReactNode {
  const info = useMemo(() => sharedInfo(panel), [panel])
  const { id } = panel
  // the server knows the range of the board; only a part of it has to be named
  const { from, to } = range
  const ask = useCallback<Ask>(
    (_question, { signal, isBefore }) =>
      client.boards.sharedPanel(
        token,
        id,
        { ...(isZoomed ? { from, to } : {}), ...(isBefore ? { compare: true } : {}) },
        { signal },
      ),
    [client, token, id, isZoomed, from, to],
  )
  return <Drawing panel={panel} range={range} refresh={refresh} onZoom={onZoom} info={info} ask={ask} />
}
