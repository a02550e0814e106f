/** Which ranks run side by side. */
import type { Adapter } from './api.ts'
import { isWide, mostAtOnce, offeredRanks } from './rank-options.ts'

interface RankChoiceProps {
  readonly adapter: Adapter | null
  readonly chosen: readonly string[]
  readonly onChange: (ranks: readonly string[]) => void
}

export function RankChoice({ adapter, chosen, onChange }: RankChoiceProps) {
  const options = offeredRanks(adapter, chosen)
  const inOrder = (ranks: readonly string[]) => options.filter((rank) => ranks.includes(rank))
  const toggle = (rank: string, on: boolean) =>
    onChange(inOrder(on ? [...chosen, rank] : chosen.filter((one) => one !== rank)))
  const wide = isWide(adapter)
  return (
    <fieldset class="ranks">
      <legend>Ranks</legend>
      {options.map((rank) => (
        <label key={rank} class="chip">
          <input
            type="checkbox"
            checked={chosen.includes(rank)}
            onChange={(event) => toggle(rank, event.currentTarget.checked)}
          />
          {rank}
        </label>
      ))}
      {wide && <AnotherRank top={adapter?.max_rank ?? 0} add={(rank) => onChange([...chosen, rank])} />}
      {chosen.length > mostAtOnce && (
        <span role="alert">
          A browser runs at most {mostAtOnce} side by side: take {chosen.length - mostAtOnce} out.
        </span>
      )}
    </fieldset>
  )
}

function AnotherRank({ top, add }: { readonly top: number; readonly add: (rank: string) => void }) {
  return (
    <label>
      another{' '}
      <input
        type="number"
        min="1"
        max={top}
        step="1"
        onChange={(event) => {
          const { value, validity } = event.currentTarget
          if (validity.valid && value !== '') add(String(Number(value)))
          if (validity.valid) event.currentTarget.value = ''
        }}
      />
    </label>
  )
}
