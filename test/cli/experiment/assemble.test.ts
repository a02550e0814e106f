/** What results keep of the plan that is not run now. */
import t from 'tap'
import { withOtherPlan } from '../../../src/cli/experiment/assemble.ts'
import { madeUpResults } from '../../fixtures/experiment/make-results.ts'

const main = { ...madeUpResults(), command: '--out o', missing: ['full-seed2'] }
const wide = { ...madeUpResults(), command: '--out o --wide', missing: ['wide-lora-r2-seed1', 'wide-recipe-seed1'] }

t.test('the other plan keeps its command and what it lacks, less what has been measured since', async (t) => {
  const both = withOtherPlan(wide, main, true)
  t.equal(both.command, '--out o\n--out o --wide')
  t.same(both.missing, [...wide.missing, 'full-seed2'])
  const { command, missing } = withOtherPlan({ ...main, missing: [] }, both, false)
  t.equal(command, '--out o --wide\n--out o', 'the earlier command of the same plan gives way')
  t.same(missing, ['wide-lora-r2-seed1'], 'wide-recipe-seed1 is there')
})

t.test('results of other data have nothing to say', async (t) => {
  const { data } = main
  t.same(withOtherPlan(wide, { ...main, data: { ...data, test: data.train } }, true), wide)
  t.same(withOtherPlan(wide, null, true), wide)
})
