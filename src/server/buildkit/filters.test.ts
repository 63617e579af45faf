import { describe, expect, test } from 'bun:test';
import { parseFilters } from './filters.ts';

describe('parseFilters()', () => {
  const fields = { id: 'abc', type: 'regular', shared: 'true', private: 'false', size: 5, description: 'a, b' };
  test.each([
    [[], true],
    [['id==abc'], true],
    [['id==ab'], false],
    [['id~=^ab'], true],
    [['id!=abc'], false],
    [['shared'], true],
    [['private'], false],
    [['id==abc,type==other'], false],
    [['id==x', 'type==regular'], true],
    [['description=="a, b",shared'], true],
    [['"description==a, b",shared'], true],
    [['size>4'], true],
    [['size>=5,size<=5'], true],
    [['size<5'], false],
  ])('%j is %p', (filters, expected) => {
    expect(parseFilters(filters)(fields)).toBe(expected);
  });

  test.each(['=x', 'id~=(', 'size<big', 'a b'])('refuses %j', filter => {
    expect(() => parseFilters([filter])).toThrow(/invalid/);
  });
});
