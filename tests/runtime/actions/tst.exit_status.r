first add
end

