import { useQueryClient } from '@tanstack/react-query'
import { useNavigate } from 'react-router'
import { type Board, type BoardInput, isTidemarkClientError } from 'tidemark/client'
import { useClient } from '../../api/index.ts'
import { useToast } from '../../shell/index.ts'
import { boardText, fileName } from './board-file.ts'
import { copyName, draftOf } from './document.ts'
import { forgetDraft } from './use-editing.ts'

export interface BoardActs {
  /** Makes a board and goes there. @throws what the server says */
  create(board: BoardInput, options?: { readonly isEditing?: boolean }): Promise<Board>
  /** Of a board that is stored, or of a file. */
  duplicate(id: string): Promise<void>
  /** A board as a file of the reader's machine. */
  download(board: string | BoardInput): Promise<void>
  /** Takes it away, and offers to bring it back. */
  remove(board: { readonly id: string; readonly version: number; readonly name: string }): Promise<void>
}

/** What can be done with a whole board, from the list and from its own page; what fails is said in a message. */
export function useBoardActs(): BoardActs {
  const client = useClient()
  const queries = useQueryClient()
  const navigate = useNavigate()
  const toast = useToast()
  const told = async (act: () => Promise<void>): Promise<void> => {
    try {
      await act()
    } catch (error) {
      toast({ kind: 'error', text: messageOf(error) })
    }
  }
  const listChanged = (): Promise<void> => queries.invalidateQueries({ queryKey: ['boards'], exact: true })

  const acts: BoardActs = {
    async create(board, { isEditing = false } = {}) {
      const created = await client.boards.create(board)
      queries.setQueryData(['boards', created.id], created)
      void listChanged()
      void navigate(`/boards/${encodeURIComponent(created.id)}${isEditing ? '?edit=1' : ''}`)
      return created
    },
    duplicate: (id) =>
      told(async () => {
        const draft = draftOf(await client.boards.get(id))
        const { name } = await acts.create({ ...draft, name: copyName(draft.name) })
        toast({ kind: 'ok', text: `This is “${name}”, a copy of your own` })
      }),
    download: (board) =>
      told(async () => {
        const whole = typeof board === 'string' ? await client.boards.get(board) : board
        saveFile(fileName(whole.name), boardText(whole))
      }),
    remove: ({ id, version, name }) =>
      told(async () => {
        const board = await client.boards.get(id)
        await client.boards.remove({ id, version })
        forgetDraft(id)
        queries.removeQueries({ queryKey: ['boards', id] })
        await listChanged()
        void navigate('/boards')
        toast({
          kind: 'ok',
          text: `“${name}” was removed`,
          action: {
            label: 'Bring it back',
            run: () =>
              void told(async () => {
                await acts.create(draftOf(board))
              }),
          },
        })
      }),
  }
  return acts
}

export function messageOf(error: unknown): string {
  if (!isTidemarkClientError(error)) return error instanceof Error ? error.message : String(error)
  if (error.code === 'TM_VERSION')
    return 'Somebody changed it a moment ago. Look at it as it is now, then do this again.'
  return error.message
}

function saveFile(name: string, text: string): void {
  const url = URL.createObjectURL(new Blob([text], { type: 'application/json' }))
  const link = document.createElement('a')
  link.href = url
  link.download = name
  link.click()
  // the download has begun by then; the text need not be kept
  setTimeout(() => URL.revokeObjectURL(url), 10_000)
}
