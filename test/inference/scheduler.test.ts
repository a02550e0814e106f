/** Scheduling is a pure decision; slots and packing are bookkeeping that can be checked without a model. */
import fc from 'fast-check'
import t from 'tap'
import type { Adapter } from '../../src/dylora/adapter.ts'
import { fillMask, pack, packFactors } from '../../src/inference/lora-packing.ts'
import { type BatchLimits, plan, rankRows } from '../../src/inference/scheduler.ts'
import { Slots } from '../../src/inference/slots.ts'

const limits: BatchLimits = { maxBatchSize: 3, prefillChunk: 4, maxRankRows: 10, maxBackgroundSlots: 2 }
const live = { priority: 'live' } as const
const base = { adapter: null, rank: 0, slots: 1, promptTokens: 1, ...live }

t.test('admits the oldest, prefills it in chunks, and decodes the others meanwhile', async (t) => {
  const idle = { next: null, prefilling: null, running: [] }
  t.same(plan(idle, limits), { evict: 0, admit: false, prefillTokens: 0, decode: false })
  t.same(plan({ ...idle, next: { ...base, promptTokens: 9 } }, limits), {
    evict: 0,
    admit: true,
    prefillTokens: 4,
    decode: false,
  })
  const busy = { next: base, prefilling: { promptTokens: 9, cached: 8, ...live }, running: [base] }
  t.same(plan(busy, limits), { evict: 0, admit: false, prefillTokens: 1, decode: true })
})

t.test('a full batch admits nobody', async (t) => {
  t.equal(plan({ next: base, prefilling: null, running: [base, base, base] }, limits).admit, false)
})

t.test('a request is admitted when all of its slots are free', async (t) => {
  const state = (running: number[], slots: number) => ({
    next: { ...base, slots },
    prefilling: null,
    running: running.map((slots) => ({ ...base, slots })),
  })
  t.equal(plan(state([1], 2), limits).admit, true)
  t.equal(plan(state([2], 2), limits).admit, false)
  t.equal(plan(state([1, 1], 2), limits).admit, false)
  t.equal(plan(state([], 3), limits).admit, true)
})

t.test('an adapter needs as many rows as the highest of its ranks in use', async (t) => {
  const rows = [
    ['a', 2],
    ['a', 5],
    ['b', 3],
    [null, 0],
    ['c', 0],
  ] as const
  t.equal(rankRows(rows.map(([adapter, rank]) => ({ adapter, rank }))), 8)
})

t.test('who needs too many rows waits, and holds back those behind', async (t) => {
  const running = [{ adapter: 'a', rank: 6, slots: 1, ...live }]
  const state = (adapter: string, rank: number) => ({
    next: { ...base, adapter, rank },
    prefilling: null,
    running,
  })
  t.equal(plan(state('b', 5), limits).admit, false)
  t.equal(plan(state('b', 4), limits).admit, true)
  t.equal(plan(state('a', 9), limits).admit, true, 'rows of one adapter are shared')
})

const background = { ...base, priority: 'background' } as const

t.test('the background is admitted to its share of the slots and no further', async (t) => {
  const state = (running: (typeof base | typeof background)[]) => ({ next: background, prefilling: null, running })
  t.equal(plan(state([]), limits).admit, true)
  t.equal(plan(state([base, background]), limits).admit, true)
  t.equal(plan(state([background, background]), limits).admit, false, 'the third slot stays free')
  t.equal(plan(state([base, base, base]), limits).admit, false)
  t.equal(plan(state([base, base, base]), limits).evict, 0)
})

t.test('a live request takes the slots of the background, as few as it needs', async (t) => {
  const state = (running: (typeof base | typeof background)[], slots: number) => ({
    next: { ...base, slots },
    prefilling: null,
    running,
  })
  const decided = (running: (typeof base | typeof background)[], slots = 1) => {
    const { evict, admit } = plan(state(running, slots), limits)
    return { evict, admit }
  }
  t.same(decided([base, background]), { evict: 0, admit: true }, 'there is room')
  t.same(decided([base, background, background]), { evict: 1, admit: true })
  t.same(decided([base, background, background], 2), { evict: 2, admit: true })
  t.same(decided([base, background, background], 3), { evict: 0, admit: false }, 'would not help')
  const rows = { ...background, adapter: 'a', rank: 8 } as const
  const wide = { next: { ...rows, ...live, adapter: 'b' }, prefilling: null, running: [rows] }
  t.match(plan(wide, limits), { evict: 1, admit: true }, 'rank rows are taken too')
})

t.test('a live request takes the prefill from the background, never from a live one', async (t) => {
  const state = (priority: 'live' | 'background') => ({
    next: { ...base, promptTokens: 3 },
    prefilling: { promptTokens: 90, cached: 4, priority },
    running: [background],
  })
  t.same(plan(state('background'), limits), { evict: 1, admit: true, prefillTokens: 3, decode: true })
  t.same(plan(state('live'), limits), { evict: 0, admit: false, prefillTokens: 4, decode: true })
})

t.test('no live request that could run waits for the background', async () => {
  const load = fc.record({
    adapter: fc.constantFrom(null, 'a', 'b'),
    rank: fc.nat(6),
    slots: fc.integer({ min: 1, max: 3 }),
    priority: fc.constantFrom('live' as const, 'background' as const),
  })
  const prefilling = fc.option(
    fc.record({ promptTokens: fc.constant(9), cached: fc.nat(8), priority: load.map((l) => l.priority) }),
  )
  fc.assert(
    fc.property(load, fc.array(load, { maxLength: 5 }), prefilling, (first, running, prefilling) => {
      const request = { ...first, ...live, promptTokens: 5 }
      const alone = {
        next: request,
        prefilling: prefilling?.priority === 'live' ? prefilling : null,
        running: running.filter(({ priority }) => priority === 'live'),
      }
      const together = plan({ next: request, prefilling, running }, limits)
      return together.admit === plan(alone, limits).admit && (together.admit || together.evict === 0)
    }),
    { numRuns: 1000 },
  )
})

t.test('active slots stay a prefix, whoever comes and goes', async () => {
  fc.assert(
    fc.property(fc.array(fc.nat(7), { maxLength: 60 }), (choices) => {
      const size = 5
      const memory = new Array<number>(size).fill(-1)
      const slots = new Slots<number>(size, (from, to) => {
        memory[to] = memory[from]!
      })
      const placed = new Map<number, number>()
      choices.forEach((choice, id) => {
        const leaver = [...placed.keys()][choice]
        if (leaver === undefined && slots.count < size) {
          const slot = slots.reserve()
          memory[slot] = id
          placed.set(id, slots.activate(slot, id))
        } else if (leaver !== undefined) {
          const moved = slots.release(placed.get(leaver)!)
          placed.delete(leaver)
          if (moved !== null) placed.set(moved.item, moved.slot)
        }
      })
      return slots.span().every((id, slot) => id !== null && memory[slot] === id && placed.get(id) === slot)
    }),
  )
})

t.test('without moving, holes go along idle and are filled again', async (t) => {
  const slots = new Slots<string>(3, null)
  for (const item of ['a', 'b', 'c']) slots.activate(slots.reserve(), item)
  t.throws(() => slots.reserve(), { message: /expected a free slot/ })
  t.equal(slots.release(1), null)
  t.same(slots.span(), ['a', null, 'c'])
  t.equal(slots.reserve(), 1)
  slots.activate(1, 'd')
  slots.release(2)
  slots.release(1)
  t.same(slots.span(), ['a'])
})

function adapter(digest: string, maxRank: number, module: 'q_proj' | 'v_proj'): Adapter {
  const data = (sign: number) => Float32Array.from({ length: maxRank * 2 }, (_, i) => sign * (i + 1))
  const factors = new Map([
    [`0.${module}` as const, { inFeatures: 2, outFeatures: 2, loraA: data(1), loraB: data(-1) }],
  ])
  return { digest, scaling: 'alpha/b', loraAlpha: 8, maxRank, factors } as unknown as Adapter
}

const layer = { key: '0.q_proj' as const, inputA: 'a', inputB: 'b', inFeatures: 2, outFeatures: 2 }

t.test('one adapter is fed from its own memory, cut', async (t) => {
  const only = adapter('a', 4, 'q_proj')
  const packing = pack([
    { adapter: only, rank: 2 },
    { adapter: only, rank: 1 },
    { adapter: null, rank: 0 },
  ])
  const { loraA } = packFactors(packing, layer)
  t.equal(packing.rows, 2)
  t.equal(loraA.buffer, only.factors.get('0.q_proj')!.loraA.buffer)
  t.same([...loraA], [1, 2, 3, 4])
})

t.test('several adapters lie side by side, with zeros where one leaves a layer alone', async (t) => {
  const [q, v] = [adapter('q', 2, 'q_proj'), adapter('v', 3, 'v_proj')]
  const tokens = [
    { adapter: v, rank: 1 },
    { adapter: q, rank: 2 },
    { adapter: null, rank: 0 },
  ]
  const packing = pack(tokens)
  t.same([...packFactors(packing, layer).loraA], [1, 2, 3, 4, 0, 0])
  const mask = new Float32Array(9).fill(7)
  fillMask(mask, packing, tokens)
  t.same([...mask], [0, 0, 8, 4, 4, 0, 0, 0, 0])
  t.equal(pack(tokens.toReversed()).key, packing.key)
})
