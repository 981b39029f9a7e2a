import { type ReactNode, useState } from 'react'
import { useNavigate } from 'react-router'
import type { Panel } from 'tidemark/client'
import { useDatasets } from '../../api/index.ts'
import { Button, Dialog, Query, Select, Skeleton } from '../../ui/index.ts'
import styles from './board.module.css'
import { freshId, mostPanels } from './document.ts'
import { exploreBlank } from './explore-link.ts'
import { templated, templatePanels } from './templates.ts'
import type { Range } from './use-board-url.ts'

/** A panel that is made for a dataset, or one that is asked in Explore. */
export function AddPanelDialog({
  board,
  panels,
  range,
  onAdd,
  onClose,
}: {
  readonly board: { readonly id: string }
  readonly panels: readonly Panel[]
  readonly range: Range
  readonly onAdd: (panel: Panel) => void
  readonly onClose: () => void
}): ReactNode {
  const navigate = useNavigate()
  const datasets = useDatasets()
  const [chosen, setChosen] = useState<string | null>(null)
  const [said, setSaid] = useState('')
  const isFull = panels.length >= mostPanels
  return (
    <Dialog title="Add a panel" isOpen onClose={onClose} footer={<Button onClick={onClose}>Done</Button>}>
      <div className={styles['stack']}>
        {isFull && <p role="alert">A board holds {mostPanels} panels at most. Make a second one.</p>}
        <div className={styles['row']}>
          <p className={styles['grow']}>Ask a question of your own, and put it here from there.</p>
          <Button
            kind="primary"
            icon="explore"
            onClick={() => void navigate(exploreBlank(board, range, panels))}
          >
            Ask in Explore
          </Button>
        </div>
        <Query result={datasets} skeleton={<Skeleton height={180} />}>
          {(all) => {
            const choices = templated(all)
            const dataset = choices.find(({ name }) => name === chosen) ?? choices[0]
            if (!dataset) return <p className={styles['quiet']}>There is no dataset yet.</p>
            return (
              <>
                <Select
                  label="Or take one that is made for"
                  value={dataset.name}
                  options={choices.map(({ name }) => ({ value: name, label: name }))}
                  onChange={setChosen}
                />
                <ul className={styles['offers']}>
                  {templatePanels(dataset).map((panel) => (
                    <li key={panel.id}>
                      <span>{panel.title}</span>
                      <span className={styles['quiet']}>{panel.chart}</span>
                      <Button
                        small
                        icon="plus"
                        aria-disabled={isFull}
                        aria-label={`Add ${panel.title}`}
                        onClick={() => {
                          if (isFull) return
                          onAdd({ ...panel, id: freshId(panels) })
                          setSaid(`${panel.title} was added`)
                        }}
                      >
                        Add
                      </Button>
                    </li>
                  ))}
                </ul>
              </>
            )
          }}
        </Query>
        <p role="status" aria-live="polite" className={styles['quiet']}>
          {said}
        </p>
      </div>
    </Dialog>
  )
}
